"""Every file name of a run and of the shared cache, in one place."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fashion_sweep.errors import CONTROL, ConfigError
from fashion_sweep.storage import remote


def runs_root() -> Path:
    """Returns the folder of runs, cache and MLflow's default store: `$FASHION_SWEEP_RUNS`, else `runs/`.

    Where the variable is a URL, it is the URL's copy on this node.

    Raises:
        ConfigError: its path is no text, and can be neither shown nor written down.
    """
    if stored := remote.current():
        return stored.copy
    root = Path(os.path.expanduser(os.environ.get("FASHION_SWEEP_RUNS") or "runs")).resolve()
    if CONTROL.search(str(root)):
        raise ConfigError(
            f"the runs folder {str(root)!r}: has characters in its path that are none, or that this locale does not "
            "know; give another with FASHION_SWEEP_RUNS, or a UTF-8 locale"
        )
    return root


def by_name(path: Path) -> str:
    """Returns a path by its name in the runs folder, which other nodes may have elsewhere; other paths as they are."""
    return str(path.relative_to(runs_root())) if path.is_relative_to(runs_root()) else str(path)


def by_path(name: str) -> Path:
    """Returns the path whose name `by_name` gave."""
    return runs_root() / name


def cache_root() -> Path:
    """Returns the folder of encodings, references and rendered data sets, which all runs share."""
    return runs_root() / "cache"


def rehearsals_root() -> Path:
    """Returns the folder of rehearsals, each of which is laid out as a run."""
    return runs_root() / "rehearsals"


def cache_rates() -> Path:
    """Returns the file that says how fast parts of the cache were filled, and where."""
    return cache_root() / "rates.json"


def weights_index() -> Path:
    """Returns the file with digests of large files of weights, of this machine alone."""
    return cache_root() / ".weights.json"


def data_index(data_set: str, root: str) -> Path:
    """Returns the file with what is known of the files of the data set in `root`."""
    digest = hashlib.blake2b(root.encode(errors="surrogateescape"), digest_size=8).hexdigest()
    return cache_root() / f"index-{data_set}-{digest}.jsonl"


def data_findings(data_set: str, root: str) -> Path:
    """Returns the file with what reading all captions of the data set has brought to light: their lengths."""
    return data_index(data_set, root).with_name(data_index(data_set, root).name.replace("index-", "findings-"))


@dataclass(frozen=True)
class Inside:
    """A path of a fixed name below the `root` of the class that has it."""

    name: str

    def __get__(self, owner: "TrialPaths | RunPaths", kind: type) -> Path:
        return owner.root / self.name


@dataclass(frozen=True)
class TrialPaths:
    """The files of one trial, under `<run>/trials/<trial_id>/`."""

    root: Path

    metrics = Inside("metrics.jsonl")
    """JSON lines with step, time (epoch milliseconds) and the values reported at that step."""
    status = Inside("status.json")
    """The last known state: state, stage, step, steps, …"""
    adapter = Inside("adapter/pytorch_lora_weights.safetensors")
    adapter_source = Inside("adapter/source.json")
    """The other run that trained the adapter; only where one did."""
    checkpoints = Inside("checkpoints")
    """The folder with the newest checkpoints while the trial trains, a file each, named by its step."""
    attempts = Inside("attempts.json")
    """The attempts at the trial: how often it was begun, and what made each end that did not get to its end."""
    result = Inside("result.json")
    """Metrics and timings of the finished trial; a trial is finished exactly when this file exists."""
    suggestion = Inside("suggestion.json")
    """The suggestion of a search from which this trial was made."""
    stopped = Inside("stopped.json")
    """The step and the loss at which a search stopped the trial; not in `status`, which its workers still write."""

    @property
    def is_over(self) -> bool:
        """Whether the trial was judged, if only for the first look of a race, or stopped."""
        return self.result.is_file() or self.stopped.is_file()

    judged_batches = Inside("judged")

    def judged(self, evaluation_set: str) -> Path:
        """Returns the folder with features and scores of generated images, one file a batch, until all are there."""
        return self.judged_batches / evaluation_set

    def features(self, evaluation_set: str) -> Path:
        """Returns the file of `features` (N,d), `clip_scores` (N,) and what else metrics keep of the judged images.
        The metadata's `prompts` are their records."""
        return self.root / f"features-{evaluation_set}.safetensors"

    def estimates(self, evaluation_set: str, images: int) -> Path:
        """Returns the file with the influence (N,) of each of the first N images by metric, float64.
        The metadata has the values and the same `prompts`. There is one of each look."""
        return self.root / "estimates" / f"{evaluation_set}-{images:06d}.safetensors"

    def losses(self, evaluation_set: str) -> Path:
        """Returns the file of `loss` (n,) with the adapter, `base_loss` (n,) without, of the same images and noise."""
        return self.root / f"losses-{evaluation_set}.safetensors"

    samples = Inside("samples")
    """The folder with the images of the sample grid, `00.png`, `01.png`, …"""
    preview = Inside("samples/preview.png")
    """The first sample prompts as the adapter draws them at its first validation, side by side.
    One trial of a run has it."""
    pictures = Inside("pictures")
    """The folder with what a garment's adapter draws, a PNG each."""
    closeness = Inside("closeness.json")
    """The closeness of each picture to each garment's photo."""
    sheet = Inside("contact-sheet.png")
    """The garment's photo beside the closest pictures of each prompt."""
    regions = Inside("regions.png")
    """The contact sheet with all faded but what was compared."""
    log = Inside("log.txt")


@dataclass(frozen=True)
class RunPaths:
    """The files of one run."""

    root: Path

    def __reduce__(self) -> tuple[Callable[[str], "RunPaths"], tuple[str]]:
        """Pickles the folder by its name, if its runs folder is one that each node has a copy of, else by its path."""
        return _run_paths, (by_name(self.root) if remote.current() else str(self.root),)

    @property
    def name(self) -> str:
        return self.root.name

    config = Inside("config.yaml")
    lock = Inside(".lock")
    facts = Inside("run.json")
    """The facts of the run, what was run on what: preset, git commit, versions, hardware, start time, data counts."""
    doing = Inside("doing.json")
    """What the run's own process is doing, while none of its trials runs."""
    data = Inside("data")
    """The folder with what the run works on."""

    def catalogue(self, data_set: str) -> Path:
        """Returns the file of the records that were kept, with their sizes and captions: what the workers go by."""
        return self.data / f"{data_set}.json"

    def reference(self, evaluation_set: str) -> Path:
        """Returns the file of what metrics make of the real images once per run, named `<metric>.<part>`, float64."""
        return self.data / f"reference-{evaluation_set}.safetensors"

    photos = Inside("data/photos")
    """The folder with the garments' photos, where the run is over some."""
    caches = Inside("data/caches.json")
    """The folders of the shared cache that this run uses."""
    data_problems = Inside("data_problems.csv")
    """The input files that were left out, with the reason, as CSV."""
    rehearsal = Inside("rehearsal.json")
    """The findings of a rehearsal; only in its folder."""

    def made_up(self, data_set: str) -> Path:
        """Returns the folder with the samples of a rehearsal without the data set."""
        return self.root / "made-up" / data_set

    race = Inside("race.json")
    """How the races stand after the last round, for those who look on; it may be lost."""
    results = Inside("results.json")
    report = Inside("report.md")
    page = Inside("report.html")
    """The report in one self-contained file."""
    table = Inside("results.csv")
    """The results, one row a trial; of garments, one a picture."""
    plots = Inside("plots")
    grid = Inside("grid.png")
    mirror = Inside("mlflow.json")
    """The MLflow run that mirrors this run, and what was sent there without answer; it may be lost."""
    mirror_lock = Inside(".mlflow.lock")
    """The lock that is held by the process that is bringing MLflow up to date."""
    exports = Inside("exports")
    """The adapters in other tools' formats, a folder each."""
    trials = Inside("trials")
    study = Inside("search.db")
    """Optuna's SQLite file of a search."""
    ray = Inside("ray")
    """The storage of Ray Tune and Ray Train."""
    log = Inside("log.txt")

    def trial(self, trial_id: str) -> TrialPaths:
        return TrialPaths(self.trials / trial_id)


def _run_paths(name: str) -> RunPaths:
    return RunPaths(by_path(name))


def near(path: Path) -> str:
    """Returns a path as short as it can be typed here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
