"""Every file name of a run and of the shared cache, in one place."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from fashion_sweep.errors import CREDENTIALS, ConfigError


def runs_root() -> Path:
    """Where runs, the cache and the default MLflow store live: `$FASHION_SWEEP_RUNS`, else `runs/` here."""
    given = os.environ.get("FASHION_SWEEP_RUNS") or "runs"
    if CREDENTIALS.search(given):
        raise ConfigError("FASHION_SWEEP_RUNS: is an address with a password; it must be a folder")
    return Path(given).resolve()


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
    def checkpoint(self) -> Path:
        return self.root / "checkpoint.safetensors"

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

    def judged(self, evaluation_set: str) -> Path:
        """Folder with features and scores of generated images, one file a batch."""
        return self.root / "judged" / evaluation_set

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
    def log(self) -> Path:
        return self.root / "log.txt"


@dataclass(frozen=True)
class RunPaths:
    """Files of one run."""

    root: Path

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

    def catalogue(self, data_set: str) -> Path:
        """The records that were kept, with their sizes and captions: what the workers go by."""
        return self.root / "data" / f"{data_set}.json"

    def reference(self, evaluation_set: str) -> Path:
        """`mean` (d), `covariance` (d,d) and `count` of the real images' features, float64."""
        return self.root / "data" / f"reference-{evaluation_set}.safetensors"

    @property
    def caches(self) -> Path:
        """Which folders of the shared cache this run uses."""
        return self.root / "data" / "caches.json"

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
        """Which MLflow runs mirror this run."""
        return self.root / "mlflow.json"

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

    def trial(self, trial_id: str) -> TrialPaths:
        return TrialPaths(self.trials / trial_id)
