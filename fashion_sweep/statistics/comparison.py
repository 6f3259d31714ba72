"""What is known of a metric and of the difference of two: standard errors, paired differences.

All configurations were judged on the same prompts from the same noise, so image i of one is compared with image i of
the other. The real images are taken as given: errors are those of the generated sample and, where several training
seeds were run, of training. Every error comes from an influence function: how much one image moves the number.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from fashion_sweep.metrics.metric import Estimate, Metric
from fashion_sweep.rng import numpy_generator

AT_ONCE = 200
"""Bootstrap draws."""


@dataclass(frozen=True)
class Candidate:
    """One configuration as judged, from one training seed or several."""

    name: str
    parameters: int
    by_seed: Sequence[Mapping[str, Estimate]]
    """Of each seed its metrics by name."""


@dataclass(frozen=True)
class OverSeeds:
    """A metric of one configuration: mean over its seeds, what each image does to it, and each seed's own value."""

    value: float
    influence: np.ndarray
    by_seed: np.ndarray
    bias_is_rough: bool = False
    """Some of its bias stays, at so few images."""


@dataclass(frozen=True)
class Measured:
    """A configuration with the metrics by which it is compared."""

    name: str
    parameters: int
    """0 is the base model."""
    metrics: Mapping[str, OverSeeds]
    """In the units of tables, less their bias."""

    @property
    def seeds(self) -> int:
        return len(next(iter(self.metrics.values())).by_seed)


@dataclass(frozen=True)
class Difference:
    """First less second, of one metric, with what it rests on."""

    value: float
    image_variance: float
    """Of the value, from the sample of n images."""
    training_variance: float
    """Of the value, from S training seeds; 0 where only one was run, which says nothing of others."""
    training_df: int

    @property
    def se(self) -> float:
        return math.sqrt(self.image_variance + self.training_variance)

    def within(self, level: float) -> tuple[float, float]:
        """Two-sided interval."""
        reach = self.quantile((1 + level) / 2) * self.se
        return self.value - reach, self.value + reach

    def quantile(self, level: float) -> float:
        """Of Student's t, with Satterthwaite's degrees of freedom for a variance known in part from few seeds."""
        if not self.training_variance:
            return float(stats.norm.ppf(level))
        df = self.training_df * ((self.image_variance + self.training_variance) / self.training_variance) ** 2
        return float(stats.t.ppf(level, df))


def measure(candidate: Candidate, metrics: Sequence[Metric]) -> Measured:
    """The metrics of a candidate, less their bias, averaged over its seeds."""
    return Measured(
        candidate.name,
        candidate.parameters,
        {metric.name: _over_seeds(metric, [one[metric.name] for one in candidate.by_seed]) for metric in metrics},
    )


def _over_seeds(metric: Metric, estimates: Sequence[Estimate]) -> OverSeeds:
    values = [metric.scale * (one.value - one.bias) for one in estimates]
    influence = np.mean([metric.scale * one.influence for one in estimates], axis=0, dtype=np.float64)
    rough = any(one.bias_is_rough for one in estimates)
    return OverSeeds(float(np.mean(values)), np.asarray(influence), np.array(values), rough)


@dataclass(frozen=True)
class Comparison:
    """All configurations of a sweep on one evaluation set, ready to be compared pairwise."""

    measured: Sequence[Measured]
    """At the same prompts and noise, in the same order."""
    prompts: np.ndarray
    """Which prompt each image had; where one repeats, its images are no independent draws."""
    metrics: Sequence[Metric]
    """Those of the verdict."""

    def difference(self, metric: str, a: Measured, b: Measured) -> Difference:
        first, second = a.metrics[metric], b.metrics[metric]
        trained = [len(one.metrics[metric].by_seed) for one in (a, b) if one.parameters]
        return Difference(
            first.value - second.value,
            self.image_variance(first.influence - second.influence),
            self.training_variance(metric) * sum(1 / seeds for seeds in trained),
            self.training_df(metric),
        )

    def worse_by(self, metric: Metric, ours: Measured, rival: Measured) -> Difference:
        """By how much ours is worse than the rival."""
        return self.difference(metric.name, *((ours, rival) if metric.better == "lower" else (rival, ours)))

    def best_in(self, metric: Metric) -> Measured:
        """The configuration with the best value of a metric, as measured."""
        pick = min if metric.better == "lower" else max
        return pick(self.measured, key=lambda one: one.metrics[metric.name].value)

    def estimate(self, metric: str, measured: Measured) -> Difference:
        """Of one configuration alone: its difference from nothing."""
        own = measured.metrics[metric]
        training = self.training_variance(metric) / len(own.by_seed) if measured.parameters else 0.0
        return Difference(own.value, self.image_variance(own.influence), training, self.training_df(metric))

    def training_df(self, metric: str) -> int:
        """Degrees of freedom of `training_variance`."""
        return sum(len(measured.metrics[metric].by_seed) - 1 for measured in self.measured)

    def image_variance(self, influence: np.ndarray) -> float:
        """Of a mean with these influences; those of one prompt's images are summed first."""
        sums = np.bincount(self.prompts, weights=influence)
        groups = len(sums)
        return float(np.var(sums) * groups**2 / (groups - 1) / len(influence) ** 2)

    def training_variance(self, metric: str) -> float:
        """Between training seeds, pooled over the configurations; 0 where each has one seed. The base model, at 0
        parameters, is not trained."""
        spreads = [measured.metrics[metric].by_seed for measured in self.measured]
        degrees = self.training_df(metric)
        return sum(float(((values - values.mean()) ** 2).sum()) for values in spreads) / degrees if degrees else 0.0

    def simultaneous_quantile(self, level: float, draws: int = 4000) -> float:
        """c such that all pairwise differences of all metrics stay within c standard errors at once, by the
        multiplier bootstrap of the largest. Source: Chernozhukov, Chetverikov & Kato (2013), arXiv:1212.6906."""
        firsts, seconds = np.triu_indices(len(self.measured), 1)
        sums = [self._sums_by_prompt(metric.name) for metric in self.metrics]
        pairs = [(columns[:, a], columns[:, b]) for columns in sums for a, b in zip(firsts, seconds, strict=True)]
        norm = np.array([np.linalg.norm(one - other) for one, other in pairs])
        if not norm.any():
            return float(stats.norm.ppf(level))
        generator, largest = numpy_generator(0, "choose/bootstrap"), []
        for _ in range(0, draws, AT_ONCE):  # all weights for 40,000 images at once would take a gigabyte
            weights = generator.standard_normal((AT_ONCE, len(sums[0])))
            moved = [weights @ columns for columns in sums]  # AT_ONCE,K
            apart = np.abs(np.hstack([one[:, firsts] - one[:, seconds] for one in moved]))
            largest.append((apart[:, norm > 0] / norm[norm > 0]).max(axis=1))
        return float(np.quantile(np.concatenate(largest), level))

    def _sums_by_prompt(self, metric: str) -> np.ndarray:
        """prompts,K: the influence of all images of a prompt on each configuration."""
        influences = [measured.metrics[metric].influence for measured in self.measured]
        return np.column_stack([np.bincount(self.prompts, weights=influence) for influence in influences])
