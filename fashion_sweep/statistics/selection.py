"""Chooses a configuration: the smallest that is as good as the best, if the numbers show one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scipy import stats

from fashion_sweep.metrics.metric import Metric
from fashion_sweep.statistics.comparison import Comparison, Difference, Measured

PRECISE = 1.001
"""The precision of a number of images: the ratio of one that would do to one that would not."""


@dataclass(frozen=True)
class Margins:
    """The margins that say how much worse still counts as good; fixed before the sweep."""

    by_metric: Mapping[str, float]
    """The margin of each metric, in the units of tables."""
    level: float = 0.95
    """The one-sided confidence of each bound."""


@dataclass(frozen=True)
class Bound:
    """A bound on how much worse a configuration is than a rival in one metric, with the margin that it has to keep."""

    rival: str
    metric: Metric
    worse_by: Difference
    margin: float
    level: float
    """The one-sided confidence of the bound that has to keep the margin."""
    everywhere: float
    """The quantile of a bound that holds for all pairs and all metrics at once, by which a loser is called worse."""

    @property
    def quantile(self) -> float:
        """The quantile of the bound that has to keep the margin."""
        return self.worse_by.quantile(self.level)

    @property
    def slack(self) -> float:
        """The distance of the bound below the margin; not positive where the margin is not kept."""
        return self.margin - self.worse_by.value - self.quantile * self.worse_by.se

    @property
    def shown_worse(self) -> bool:
        return self.worse_by.value - self.everywhere * self.worse_by.se > self.margin

    def images_needed(self, images: int) -> int | None:
        """Returns how many images would keep the margin if the difference stayed as it is; None: no number would do."""
        if not self._kept_by(self._with_images(images, math.inf)):
            return None
        few = enough = float(images)
        while not self._kept_by(self._with_images(images, enough)):
            few, enough = enough, 2 * enough
        while enough > PRECISE * few:
            half = math.sqrt(few * enough)
            few, enough = (few, half) if self._kept_by(self._with_images(images, half)) else (half, enough)
        return math.ceil(enough)

    def seeds_needed(self, seeds: int) -> int | None:
        """Returns how many seeds would keep the margin; None where no number would do, or only one was run."""
        room = self._room
        if room is None or not self.worse_by.training_variance or (left := room - self.worse_by.image_variance) <= 0:
            return None
        return math.ceil(seeds * self.worse_by.training_variance / left)

    def _with_images(self, images: int, count: float) -> Difference:
        return replace(self.worse_by, image_variance=self.worse_by.image_variance * images / count)

    def _kept_by(self, worse_by: Difference) -> bool:
        """Returns whether the bound keeps the margin.
        With few seeds the quantile grows as the images' share of the error shrinks."""
        return worse_by.value + worse_by.quantile(self.level) * worse_by.se < self.margin

    @property
    def _room(self) -> float | None:
        """The variance at which the bound would meet the margin."""
        gap = self.margin - self.worse_by.value
        return (gap / self.quantile) ** 2 if gap > 0 else None


@dataclass(frozen=True)
class Bounds:
    """The bounds of one configuration against all others, in all metrics."""

    bounds: tuple[Bound, ...]

    @property
    def worst(self) -> Bound:
        """The bound with the least slack."""
        return min(self.bounds, key=lambda bound: bound.slack)

    @property
    def is_good(self) -> bool:
        """Whether the configuration is as good as the best: every margin is kept."""
        return self.worst.slack > 0

    @property
    def shown_worse_by(self) -> Bound | None:
        """The bound that shows most clearly that another configuration is better; None where none shows it."""
        shown = [bound for bound in self.bounds if bound.shown_worse]
        return max(shown, key=lambda bound: bound.worse_by.value / bound.worse_by.se, default=None)

    def images_needed(self, images: int) -> int | None:
        """Returns how many images would keep every margin if the differences stayed; None: no number would do."""
        return most([one.images_needed(images) for one in self.bounds if one.slack <= 0])

    def seeds_needed(self, seeds: int) -> int | None:
        """Returns how many training seeds would keep every margin; None: no number would do."""
        return most([one.seeds_needed(seeds) for one in self.bounds if one.slack <= 0])


def most(counts: Sequence[int | None]) -> int | None:
    """Returns the largest count; None where one is unknown, or there is none."""
    numbers = [count for count in counts if count is not None]
    return max(numbers) if numbers and len(numbers) == len(counts) else None


@dataclass(frozen=True)
class Selection:
    """The chosen configuration, None where the numbers decide nothing, with the bounds that decide it."""

    chosen: str | None
    bounds_of: Mapping[str, Bounds]
    """The bounds of each configuration that has a rival, by its name."""
    front: tuple[str, ...]
    """Configurations that no other beats in all metrics with as few parameters, as measured."""
    possible: tuple[str, ...]
    """Configurations that no other is shown to beat in all metrics: the front, and what may belong to it."""
    along_an_axis: bool


def decide(comparison: Comparison, margins: Margins, along_an_axis: bool) -> Selection:
    """Chooses the smallest configuration that is as good as the best: in no metric worse than any other by a margin.

    Along an axis, by number of parameters, the largest is tested first and the first failure ends the sequence, so
    that the chance of a wrong choice is at most 1 − level without any correction. Otherwise all are tested at once.
    """
    if len(comparison.measured) == 1:
        alone = (comparison.measured[0].name,)
        return Selection(None, {}, alone, alone, along_an_axis)
    everywhere = comparison.simultaneous_quantile(margins.level)
    bounds_of = {
        measured.name: _bounds(comparison, measured, margins, everywhere, along_an_axis)
        for measured in comparison.measured
    }
    chosen = None
    if along_an_axis:
        for measured in sorted(comparison.measured, key=lambda measured: -measured.parameters):
            if not bounds_of[measured.name].is_good:
                break
            chosen = measured.name
    else:
        good = [measured for measured in comparison.measured if bounds_of[measured.name].is_good]
        chosen = min(good, key=lambda measured: measured.parameters).name if good else None
    return Selection(chosen, bounds_of, _front(comparison, 0.0), _front(comparison, everywhere), along_an_axis)


def _bounds(comparison: Comparison, ours: Measured, margins: Margins, everywhere: float, along_an_axis: bool) -> Bounds:
    at_once = float(stats.norm.cdf(everywhere))
    level = margins.level if along_an_axis else at_once
    return Bounds(
        tuple(
            Bound(rival.name, metric, worse_by, margins.by_metric[metric.name], level, worse_by.quantile(at_once))
            for rival in comparison.measured
            if rival is not ours
            for metric in comparison.metrics
            for worse_by in [comparison.worse_by(metric, ours, rival)]
        )
    )


def _front(comparison: Comparison, quantile: float) -> tuple[str, ...]:
    level = float(stats.norm.cdf(quantile))

    def beaten(ours: Measured, rival: Measured) -> bool:
        differences = [comparison.worse_by(metric, ours, rival) for metric in comparison.metrics]
        surely = all(one.value > one.quantile(level) * one.se for one in differences)
        return rival.parameters <= ours.parameters and surely

    return tuple(
        ours.name
        for ours in comparison.measured
        if not any(beaten(ours, rival) for rival in comparison.measured if rival is not ours)
    )
