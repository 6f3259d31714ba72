"""Standard errors of a metric, and of the paired difference of two configurations in it.

All configurations were judged on the same prompts from the same noise, so image i of one is compared with image i of
the other. The real images are taken as given: errors are those of the generated sample and, where several training
seeds were run, of training. Every error comes from an influence function: how much one image moves the number.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special  # a call of `stats` takes a hundred times as long

from fashion_sweep.metrics.metric import Estimate, Metric
from fashion_sweep.metrics.prompts import effective_count, first_half, third_cumulant_of_mean, variance_of_mean


@dataclass(frozen=True)
class Candidate:
    """One configuration as judged, from one training seed or several."""

    name: str
    parameters: int
    by_seed: Sequence[Mapping[str, Estimate]]
    """The metrics of each training seed, by name."""


@dataclass(frozen=True)
class Influence:
    """The effect of each of n images on a value, times n; and on that of the half of the images that it belongs to."""

    whole: np.ndarray
    halves: np.ndarray | None
    """None where influences are known exactly."""

    def __sub__(self, other: "Influence") -> "Influence":
        halves = None if self.halves is None or other.halves is None else self.halves - other.halves
        return Influence(self.whole - other.whole, halves)


@dataclass(frozen=True)
class OverSeeds:
    """A metric of one configuration: mean over its seeds, influence of each image, and each seed's own value."""

    value: float
    influence: Influence
    by_seed: np.ndarray
    bias_is_rough: bool = False
    """Whether some of the bias stays, because there are so few prompts."""
    rest: float = 0.0
    """What is taken from the value, where it is shown (see `Estimate`)."""

    @property
    def shown(self) -> float:
        return self.value - self.rest


@dataclass(frozen=True)
class Measured:
    """A configuration with the metrics by which it is compared."""

    name: str
    parameters: int
    """The number of trained parameters; 0 is the base model."""
    metrics: Mapping[str, OverSeeds]
    """The metrics by name, in the units of tables, less their bias."""

    @property
    def seeds(self) -> int:
        return len(next(iter(self.metrics.values())).by_seed)


@dataclass(frozen=True)
class Difference:
    """The difference of two configurations in one metric, first less second, with its variances."""

    value: float
    image_variance: float
    """The variance of `value` that comes from the sample of n images."""
    training_variance: float
    """The variance of `value` that comes from S training seeds; 0 for only one, which says nothing of others."""
    training_df: int
    image_df: float = math.inf
    """The degrees of freedom of `image_variance`: the number of prompts less one, were they equally frequent."""
    third: float = 0.0
    """The third cumulant of `value` that comes from the sample of n images."""

    @property
    def se(self) -> float:
        return math.sqrt(self.image_variance + self.training_variance)

    def within(self, level: float) -> tuple[float, float]:
        """Returns the two-sided confidence interval."""
        return self.at_least((1 + level) / 2), self.at_most((1 + level) / 2)

    def at_most(self, level: float) -> float:
        """Returns the one-sided upper confidence bound."""
        return self.value + self._reach(level, self.third)

    def at_least(self, level: float) -> float:
        """Returns the one-sided lower confidence bound."""
        return self.value - self._reach(level, -self.third)

    def _reach(self, level: float, third: float) -> float:
        """Returns the distance of a bound, which is wider on the side to which the sample strays; never narrower.

        Source: Hall (1992), JRSS B 54(1), whose transformation takes the skewness out of Student's t.
        """
        quantile, se = self.quantile(level), self.se
        if third <= 0 or not se:
            return quantile * se
        skewness = third / se**3
        return se * max(quantile, 3 / skewness * (1 - float(np.cbrt(1 - skewness * quantile - skewness**2 / 6))))

    def quantile(self, level: float) -> float:
        """Returns a quantile of Student's t with Satterthwaite's degrees of freedom, for variances that are known from
        few prompts or few seeds; of the normal distribution where they are known from infinitely many."""
        parts = ((self.image_variance, self.image_df), (self.training_variance, self.training_df))
        unsure = sum(variance**2 / df for variance, df in parts if variance)
        if not unsure:
            return float(special.ndtri(level))
        return float(special.stdtrit((self.image_variance + self.training_variance) ** 2 / unsure, level))


def measure(candidate: Candidate, metrics: Sequence[Metric]) -> Measured:
    """Averages the metrics of a candidate, less their bias, over its seeds."""
    return Measured(
        candidate.name,
        candidate.parameters,
        {metric.name: _over_seeds(metric, [one[metric.name] for one in candidate.by_seed]) for metric in metrics},
    )


def _over_seeds(metric: Metric, estimates: Sequence[Estimate]) -> OverSeeds:
    values = [metric.scale * (one.value - one.bias) for one in estimates]
    halves = [one.half_influence for one in estimates if one.half_influence is not None]
    influence = Influence(
        metric.scale * np.stack([one.influence for one in estimates]).mean(axis=0, dtype=np.float64),
        metric.scale * np.stack(halves).mean(axis=0) if len(halves) == len(estimates) else None,
    )
    rough = any(one.bias_is_rough for one in estimates)
    rest = metric.scale * float(np.mean([one.rest for one in estimates]))
    return OverSeeds(float(np.mean(values)), influence, np.array(values), rough, rest)


@dataclass(frozen=True)
class Comparison:
    """All configurations of a sweep on one evaluation set, ready to be compared pairwise."""

    measured: Sequence[Measured]
    """The configurations, each judged at the same prompts and noise, in the same order."""
    prompts: np.ndarray
    """The prompt of each image, numbered from 0; where one repeats, its images are no independent draws."""
    metrics: Sequence[Metric]
    """The metrics of the verdict."""
    others: Sequence[Measured] = ()
    """Configurations with fewer images, whose trainings tell as well how far trainings lie apart."""

    def difference(self, metric: str, a: Measured, b: Measured) -> Difference:
        first, second = a.metrics[metric], b.metrics[metric]
        influence = first.influence - second.influence
        trained = [len(one.metrics[metric].by_seed) for one in (a, b) if one.parameters]
        return Difference(
            first.value - second.value,
            self.image_variance(influence),
            self.training_variance(metric) * sum(1 / seeds for seeds in trained),
            self.training_df(metric),
            self.image_df,
            third_cumulant_of_mean(influence.whole, self.prompts),
        )

    def worse_by(self, metric: Metric, ours: Measured, rival: Measured) -> Difference:
        """Returns by how much ours is worse than the rival in a metric."""
        return self.difference(metric.name, *((ours, rival) if metric.better == "lower" else (rival, ours)))

    def best_in(self, metric: Metric) -> Measured:
        """Returns the configuration with the best value of a metric, as measured."""
        return best_of(self.measured, metric)

    def estimate(self, metric: str, measured: Measured) -> Difference:
        """Returns one configuration's value of a metric with its variances: its difference from nothing."""
        pooled = measured.metrics[metric]
        training = self.training_variance(metric) / len(pooled.by_seed) if measured.parameters else 0.0
        variance = self.image_variance(pooled.influence)
        third = third_cumulant_of_mean(pooled.influence.whole, self.prompts)
        return Difference(pooled.shown, variance, training, self.training_df(metric), self.image_df, third)

    def training_df(self, metric: str) -> int:
        """Returns the degrees of freedom of `training_variance`."""
        return sum(len(measured.metrics[metric].by_seed) - 1 for measured in (*self.measured, *self.others))

    def image_variance(self, influence: Influence) -> float:
        """Returns the variance of a value with these influences, less what their own noise adds to it (see `halves`).

        With images in clusters, those of one prompt, it is the clusters' sums that vary.
        """
        whole = variance_of_mean(influence.whole, self.prompts)
        if influence.halves is None:
            return whole
        halved = [variance_of_mean(influence.halves[rows], groups) for rows, groups in self._halves]
        return float(np.clip(1.5 * whole - np.mean(halved) / 4, whole / 2, whole))

    @cached_property
    def image_df(self) -> float:
        """The degrees of freedom of variances over prompts."""
        return effective_count(self.prompts) - 1

    @cached_property
    def _halves(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The images of either half, with the numbers of their prompts."""
        first = first_half(self.prompts)
        return [(rows, np.unique(self.prompts[rows], return_inverse=True)[1]) for rows in (first, ~first)]

    def training_variance(self, metric: str) -> float:
        """Returns the variance between training seeds, pooled over the configurations and `others`, as if it were one;
        0 where each has one seed. The base model, at 0 parameters, is not trained."""
        spreads = [measured.metrics[metric].by_seed for measured in (*self.measured, *self.others)]
        degrees = self.training_df(metric)
        return sum(float(((values - values.mean()) ** 2).sum()) for values in spreads) / degrees if degrees else 0.0


def best_of(measured: Sequence[Measured], metric: Metric) -> Measured:
    pick = min if metric.better == "lower" else max
    return pick(measured, key=lambda one: one.metrics[metric.name].value)
