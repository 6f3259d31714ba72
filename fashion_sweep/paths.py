"""Every file name of a run and of the shared cache, in one place."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fashion_sweep.storage import remote


def runs_root() -> Path:
    """Of runs, cache and MLflow's default store: `$FASHION_SWEEP_RUNS` (a URL's copy on this node), else `runs/`."""
    if stored := remote.current():
        return stored.copy
    return Path(os.environ.get("FASHION_SWEEP_RUNS") or "runs").resolve()


def by_name(path: Path) -> str:
    """What lies in the runs folder, by its name in there, since other nodes may have that elsewhere; else as it is."""
    return str(path.relative_to(runs_root())) if path.is_relative_to(runs_root()) else str(path)


def by_path(name: str) -> Path:
    """Takes what `by_name` gives."""
    return runs_root() / name


def cache_root() -> Path:
    """Encodings, references and rendered data sets, shared by all runs."""
    return runs_root() / "cache"


def rehearsals_root() -> Path:
    """Folders of rehearsals, each laid out as a run's."""
    return runs_root() / "rehearsals"


def cache_rates() -> Path:
    """How fast parts of the cache were filled, and where."""
    return cache_root() / "rates.json"


def data_index(data_set: str, root: str) -> Path:
    """What is known of the files of the data set in `root`."""
    digest = hashlib.blake2b(root.encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return cache_root() / f"index-{data_set}-{digest}.jsonl"


def data_findings(data_set: str, root: str) -> Path:
    """What reading all of the data set in `root` has brought to light: equal files, lengths of captions."""
    return data_index(data_set, root).with_name(data_index(data_set, root).name.replace("index-", "findings-"))


@dataclass(frozen=True)
class TrialPaths:
    """Files of one trial, under `<run>/trials/<trial_id>/`."""

    root: Path

    @property
    def metrics(self) -> Path:
        """JSON lines: step, time (epoch milliseconds) and the values reported at that step."""
        return self.root / "metrics.jsonl"

    @property
    def status(self) -> Path:
        """The last known state: state, stage, step, steps, …"""
        return self.root / "status.json"

    @property
    def adapter(self) -> Path:
        return self.root / "adapter" / "pytorch_lora_weights.safetensors"

    @property
    def adapter_source(self) -> Path:
        """Which other run trained the adapter; only where one did."""
        return self.root / "adapter" / "source.json"

    @property
    def checkpoints(self) -> Path:
        """Folder with the newest ones while the trial trains, a file each, named by its step."""
        return self.root / "checkpoints"

    @property
    def attempts(self) -> Path:
        """How often the trial was begun, and what made each attempt end that did not get to its end."""
        return self.root / "attempts.json"

    @property
    def result(self) -> Path:
        """Metrics and timings of the finished trial; a trial is finished exactly when this file exists."""
        return self.root / "result.json"

    @property
    def suggestion(self) -> Path:
        """What a search made this trial of."""
        return self.root / "suggestion.json"

    @property
    def stopped(self) -> Path:
        """At which step, with which loss a search stopped the trial. Not in `status`, which its workers still write."""
        return self.root / "stopped.json"

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self.result.is_file() or self.stopped.is_file()

    @property
    def judged_batches(self) -> Path:
        return self.root / "judged"

    def judged(self, evaluation_set: str) -> Path:
        """Folder with features and scores of generated images, one file a batch, until all are there."""
        return self.judged_batches / evaluation_set

    def features(self, evaluation_set: str) -> Path:
        """`features` (N,d) and `clip_scores` (N,) of the judged images; the metadata's `prompts` are their records."""
        return self.root / f"features-{evaluation_set}.safetensors"

    def losses(self, evaluation_set: str) -> Path:
        """`loss` (n,) with the adapter and `base_loss` (n,) without, of the same images and noise."""
        return self.root / f"losses-{evaluation_set}.safetensors"

    @property
    def samples(self) -> Path:
        """Folder with the images of the sample grid, `00.png`, `01.png`, …"""
        return self.root / "samples"

    @property
    def pictures(self) -> Path:
        """Folder with what a garment's adapter draws, a PNG each."""
        return self.root / "pictures"

    @property
    def closeness(self) -> Path:
        """How close each picture comes to each garment's photo."""
        return self.root / "closeness.json"

    @property
    def sheet(self) -> Path:
        """The garment's photo beside the closest pictures of each prompt."""
        return self.root / "contact-sheet.png"

    @property
    def log(self) -> Path:
        return self.root / "log.txt"


@dataclass(frozen=True)
class RunPaths:
    """Files of one run."""

    root: Path

    def __reduce__(self) -> tuple[Callable[[str], "RunPaths"], tuple[str]]:
        """To another node it goes by its name, if its runs folder is one that each node has a copy of."""
        return _run_paths, (by_name(self.root) if remote.current() else str(self.root),)

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def lock(self) -> Path:
        return self.root / ".lock"

    @property
    def facts(self) -> Path:
        """What was run on what: preset, git commit, versions, hardware, start time, data counts."""
        return self.root / "run.json"

    @property
    def doing(self) -> Path:
        """What its own process is doing, while none of its trials runs."""
        return self.root / "doing.json"

    @property
    def data(self) -> Path:
        """What the run works on."""
        return self.root / "data"

    def catalogue(self, data_set: str) -> Path:
        """The records that were kept, with their sizes and captions: what the workers go by."""
        return self.data / f"{data_set}.json"

    def reference(self, evaluation_set: str) -> Path:
        """`mean` (d), `covariance` (d,d) and `count` of the real images' features, float64."""
        return self.data / f"reference-{evaluation_set}.safetensors"

    @property
    def photos(self) -> Path:
        """Of the garments, where the run is over some."""
        return self.data / "photos"

    @property
    def caches(self) -> Path:
        """Which folders of the shared cache this run uses."""
        return self.data / "caches.json"

    @property
    def data_problems(self) -> Path:
        """CSV of input files that were left out, with the reason."""
        return self.root / "data_problems.csv"

    @property
    def rehearsal(self) -> Path:
        """What a rehearsal found; only in its folder."""
        return self.root / "rehearsal.json"

    def made_up(self, data_set: str) -> Path:
        """The samples of a rehearsal without the data set."""
        return self.root / "made-up" / data_set

    @property
    def results(self) -> Path:
        return self.root / "results.json"

    @property
    def report(self) -> Path:
        return self.root / "report.md"

    @property
    def page(self) -> Path:
        """The report in one self-contained file."""
        return self.root / "report.html"

    @property
    def table(self) -> Path:
        """One row a trial."""
        return self.root / "results.csv"

    @property
    def plots(self) -> Path:
        return self.root / "plots"

    @property
    def grid(self) -> Path:
        return self.root / "grid.png"

    @property
    def mirror(self) -> Path:
        """Which MLflow run mirrors this run, and what was sent there without answer. It may be lost."""
        return self.root / "mlflow.json"

    @property
    def mirror_lock(self) -> Path:
        """Held by the process that is bringing MLflow up to date."""
        return self.root / ".mlflow.lock"

    @property
    def exports(self) -> Path:
        """Adapters in other tools' formats, a folder each."""
        return self.root / "exports"

    @property
    def trials(self) -> Path:
        return self.root / "trials"

    @property
    def study(self) -> Path:
        """Optuna's SQLite file of a search."""
        return self.root / "search.db"

    @property
    def ray(self) -> Path:
        """Ray Tune's and Ray Train's own storage."""
        return self.root / "ray"

    @property
    def log(self) -> Path:
        return self.root / "log.txt"

    def fetch_inputs(self) -> None:
        """What workers go by, where the runs folder is in object storage."""
        remote.fetch_file(self.config)
        remote.fetch(self.caches.parent)

    def trial(self, trial_id: str) -> TrialPaths:
        return TrialPaths(self.trials / trial_id)


def _run_paths(name: str) -> RunPaths:
    return RunPaths(by_path(name))
