"""What each stage reads of a runs folder in object storage, fetched as the stage begins.

Here alone files are fetched: whoever reads them during a stage finds them in this node's copy. Where the runs folder
is a plain one, nothing here does anything.
"""

from collections.abc import Iterable
from pathlib import Path

from fashion_sweep.run.paths import RunPaths, TrialPaths, cache_rates, data_index, runs_root
from fashion_sweep.storage import remote


def fetch_run(run: RunPaths, without: Iterable[str] = remote.FOR_TRAINING, send: bool = False) -> None:
    """Before a run goes on, is reported or exported: all of it but what only a trial's workers need.

    Args:
        without: beginnings of names that are left as they are.
        send: puts what was changed here, and by nobody else, since it was last put.
    """
    remote.fetch(run.root, tuple(without), send)


def fetch_configs() -> None:
    """Before a run is looked for by what it holds: the configuration of each."""
    stored = remote.current()
    for folder in stored.bucket.folders() if stored else ():
        remote.fetch_file(RunPaths(runs_root() / folder).config)


def fetch_index(data_set: str, root: str) -> None:
    """Before data are opened: what is known of their files."""
    remote.fetch_file(data_index(data_set, root))


def fetch_rates() -> None:
    """Before it is written down how fast parts of the cache were filled."""
    remote.fetch_file(cache_rates())


def fetch_for_encoding(run: RunPaths) -> None:
    """Before a worker fills the cache: the configuration, and what the run works on."""
    remote.fetch_file(run.config)
    remote.fetch(run.data)


def fetch_for_trial(run: RunPaths, trial: TrialPaths) -> None:
    """Before a worker begins with a trial, wherever an earlier attempt ran: what that left, checkpoints included."""
    fetch_for_encoding(run)
    remote.fetch(trial.root, send=True)


def fetch_caches(folders: Iterable[Path]) -> None:
    """Before parts of the cache are read."""
    for folder in folders:
        remote.fetch(folder)


def fetch_for_judging(trial: TrialPaths, caches: Iterable[Path]) -> None:
    """Before a worker judges: the adapter, which another worker may have written, and the caches that it reads."""
    remote.fetch(trial.adapter.parent)
    fetch_caches(caches)


def fetch_made(*folders: Path) -> None:
    """Before worker 0 brings together what all workers have made."""
    for folder in folders:
        remote.fetch(folder)


def fetch_for_drawing(run: RunPaths, trial: TrialPaths) -> None:
    """Before pictures are drawn with a trial's adapter: the adapter, and what is known of its training."""
    fetch_for_encoding(run)
    remote.fetch(trial.root, remote.FOR_TRAINING)


def fetch_standing(trial: TrialPaths) -> None:
    """Before it is decided whether a trial is begun again: how it stands."""
    for path in (trial.status, trial.attempts, trial.result):
        remote.fetch_file(path)


def fetch_outcome(trial: TrialPaths) -> None:
    """Before a search is told how a trial ended."""
    remote.fetch(trial.root, remote.FOR_TRAINING)


def fetch_signs_of_life(trial: TrialPaths) -> None:
    """Before a trial is taken to hang."""
    remote.fetch(trial.signs_of_life)
