"""Fetches what each stage reads of a runs folder in object storage, as the stage begins.

Here alone files are fetched: whoever reads them during a stage finds them in this node's copy. Where the runs folder
is a plain one, nothing here does anything.
"""

from collections.abc import Iterable
from pathlib import Path

from fashion_sweep.run.paths import RunPaths, TrialPaths, cache_rates, data_index, runs_root
from fashion_sweep.storage import remote


def fetch_run(run: RunPaths, without: Iterable[str] = remote.FOR_TRAINING, send: bool = False) -> None:
    """Fetches a run before it goes on, is reported or exported: all of it but what only a trial's workers need.

    Args:
        without: beginnings of names that are left as they are.
        send: puts what was changed here, and by nobody else, since it was last put.
    """
    remote.fetch(run.root, tuple(without), send)


def fetch_configs() -> None:
    """Fetches the configuration of each run, before a run is looked for by what it holds."""
    stored = remote.current()
    for folder in stored.bucket.folders() if stored else ():
        remote.fetch_file(RunPaths(runs_root() / folder).config)


def fetch_index(data_set: str, root: str) -> None:
    """Fetches what is known of a data set's files, before the data are opened."""
    remote.fetch_file(data_index(data_set, root))


def fetch_rates() -> None:
    """Fetches the rates of the cache, before it is written down how fast parts of it were filled."""
    remote.fetch_file(cache_rates())


def fetch_for_encoding(run: RunPaths) -> None:
    """Fetches the configuration, the facts and what the run works on, before a worker fills the cache."""
    for path in (run.config, run.facts):
        remote.fetch_file(path)
    remote.fetch(run.data)


def fetch_for_trial(run: RunPaths, trial: TrialPaths) -> None:
    """Fetches what earlier attempts at a trial left anywhere, checkpoints included, before a worker begins with it."""
    fetch_for_encoding(run)
    remote.fetch(trial.root, send=True)


def fetch_caches(folders: Iterable[Path]) -> None:
    """Fetches parts of the cache before they are read."""
    for folder in folders:
        remote.fetch(folder)


def fetch_for_judging(trial: TrialPaths, caches: Iterable[Path]) -> None:
    """Fetches the adapter, which another worker may have written, and the caches, before a worker judges."""
    remote.fetch(trial.adapter.parent)
    fetch_caches(caches)


def fetch_made(*folders: Path) -> None:
    """Fetches what all workers have made, before worker 0 brings it together."""
    for folder in folders:
        remote.fetch(folder)


def fetch_for_drawing(run: RunPaths, trial: TrialPaths) -> None:
    """Fetches a trial's adapter, and what is known of its training, before pictures are drawn with it."""
    fetch_for_encoding(run)
    remote.fetch(trial.root, remote.FOR_TRAINING)


def fetch_standing(trial: TrialPaths) -> None:
    """Fetches how a trial stands, before it is decided whether it is begun again."""
    for path in (trial.status, trial.attempts, trial.result):
        remote.fetch_file(path)


def fetch_outcome(trial: TrialPaths) -> None:
    """Fetches how a trial ended, before a search is told."""
    remote.fetch(trial.root, remote.FOR_TRAINING)
