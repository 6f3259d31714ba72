"""The configurations that plots and tables show, each with its replicates as one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.metrics.metric import Metric
from fashion_sweep.report.results import Results, TrialResult
from fashion_sweep.report.verdict import Interval, Verdict


@dataclass(frozen=True)
class Configuration:
    """A configuration with its numbers on one evaluation set."""

    title: str
    parameters: int | None
    """The number of trained parameters; 0 is the base model."""
    images: int | None
    """The images of each training that the numbers are from; the most of any where there is no verdict."""
    metrics: Mapping[str, Interval]
    """The metrics of the verdict that are known, by name."""
    on_front: bool | None
    """Whether the configuration is on the Pareto front; None: not known, for want of a verdict."""

    def value(self, metric: Metric) -> Interval | None:
        return self.metrics.get(metric.name)

    def rank(self, metric: Metric) -> float:
        """Returns a number that is smaller for better values; infinite where there is none."""
        value = self.value(metric)
        return math.inf if value is None else value.value if metric.better == "lower" else -value.value


def configurations(results: Results, name: str, verdict: Verdict | None) -> list[Configuration]:
    """Returns the configurations in the sweep's order.
    Without a verdict: values as computed, averaged over replicates, without an interval."""
    groups: dict[TrialSpec, list[TrialResult]] = {}
    for trial in results.trials:
        if name in trial.evaluations:
            groups.setdefault(trial.spec.configuration, []).append(trial)
    if verdict is None:
        return [
            Configuration(
                title=spec.title,
                parameters=trials[0].parameters,
                images=max((one.on(name).samples or 0 for one in trials), default=0) or None,
                metrics=_means(trials, name, results.deciding(name)),
                on_front=None,
            )
            for spec, trials in groups.items()
        ]
    return [
        Configuration(
            spec.title, trials[0].parameters, verdict.images[spec.title], estimates, spec.title in verdict.front
        )
        for spec, trials in groups.items()
        if (estimates := verdict.estimates.get(spec.title)) is not None
    ]


def _means(trials: Sequence[TrialResult], name: str, metrics: Sequence[Metric]) -> dict[str, Interval]:
    means = {}
    for metric in metrics:
        if values := [value for trial in trials if (value := trial.on(name).value(metric)) is not None]:
            means[metric.name] = Interval(*[fmean(values)] * 3)
    return means


def below_zero(shown: Sequence[Configuration], metrics: Sequence[Metric]) -> list[Metric]:
    """Returns the metrics of which a value less its bias is negative, as no distance is."""
    return [
        metric
        for metric in metrics
        if metric.is_biased and any((value := one.value(metric)) and value.value < 0 for one in shown)
    ]
