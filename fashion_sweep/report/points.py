"""What plots and tables show of a configuration: its replicates are one point."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.report.conclusion import Conclusion, Interval
from fashion_sweep.report.results import Results, TrialResult

Conclusions = Mapping[str, Conclusion]
"""By evaluation set; one that allows none is left out."""


@dataclass(frozen=True)
class Point:
    title: str
    parameters: int | None
    """0 is the base model."""
    fid: Interval | None
    clip_score: Interval | None
    on_front: bool | None
    """None: not known, for want of a conclusion."""


def points(results: Results, name: str, conclusion: Conclusion | None) -> list[Point]:
    """In the sweep's order. Without a conclusion: values as computed, averaged over replicates, without an interval."""
    groups: dict[TrialSpec, list[TrialResult]] = {}
    for trial in results.trials:
        if name in trial.evaluations:
            groups.setdefault(trial.spec.configuration, []).append(trial)
    if conclusion is None:
        return [_raw(spec.title, trials, name) for spec, trials in groups.items()]
    return [
        Point(
            spec.title,
            trials[0].parameters,
            known.get("fid"),
            known.get("clip_score"),
            spec.title in conclusion.front,
        )
        for spec, trials in groups.items()
        if (known := conclusion.estimates.get(spec.title)) is not None
    ]


def _raw(title: str, trials: list[TrialResult], name: str) -> Point:
    judged = [trial.judged(name) for trial in trials]
    fid, clip_score = _mean([one.fid for one in judged]), _mean([one.clip_score for one in judged])
    return Point(title, trials[0].parameters, fid, clip_score, None)


def _mean(values: list[float | None]) -> Interval | None:
    known = [value for value in values if value is not None]
    if not known:
        return None
    mean = fmean(known)
    return Interval(mean, mean, mean)
