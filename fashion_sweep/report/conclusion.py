"""What the numbers of a run allow one to conclude on an evaluation set."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fashion_sweep.evaluation.choose import Margins
from fashion_sweep.paths import RunPaths
from fashion_sweep.report.results import Results


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Conclusion:
    """Configurations are named by their titles."""

    evaluation_set: str
    margins: Margins
    images: int
    seeds: int
    """Trainings of each configuration; the smallest number of any."""
    estimates: Mapping[str, Mapping[str, Interval]]
    """By configuration: `fid`, less its bias, and `clip_score`."""
    front: tuple[str, ...]
    chosen: str | None
    """None: the numbers decide nothing."""
    best: str
    """The chosen one, else that of lowest FID."""
    best_trial: str
    """Id of its trial of lowest FID."""
    sentence: str


def conclude(run: RunPaths, results: Results, name: str) -> Conclusion | None:
    """None where fewer than two configurations are judged."""
    return None


def as_json(conclusion: Conclusion) -> dict[str, Any]:
    return asdict(conclusion)
