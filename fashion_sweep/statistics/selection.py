"""Which configuration to take: the smallest that is as good as the best, if the numbers show one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from scipy import stats

from fashion_sweep.metrics.metric import Metric
from fashion_sweep.statistics.comparison import Comparison, Difference, Measured

PRECISE = 1.001
"""How near a number of images that would do is to one that would not."""


@dataclass(frozen=True)
class Margins:
    """How much worse still counts as good; fixed before the sweep."""

    by_metric: Mapping[str, float]
    """In the units of tables."""
    level: float = 0.95
    """One-sided confidence of each bound."""


@dataclass(frozen=True)
class Bound:
    """How much worse a configuration may be than a rival in one metric, and how much it is."""

    rival: str
    metric: Metric
    worse_by: Difference
    margin: float
    level: float
    """One-sided confidence of the bound that has to keep the margin."""
    everywhere: float
    """Of a bound that holds for all pairs and all metrics at once: what a loser is called by."""

    @property
    def quantile(self) -> float:
        """Of the bound that has to keep the margin."""
        return self.worse_by.quantile(self.level)

    @property
    def slack(self) -> float:
        """Below the margin by so much; not positive where the margin is not kept."""
        return self.margin - self.worse_by.value - self.quantile * self.worse_by.se

    @property
    def shown_worse(self) -> bool:
        return self.worse_by.value - self.everywhere * self.worse_by.se > self.margin

    def images_needed(self, images: int) -> int | None:
        """Images with which the margin would be kept if the difference stayed as it is; None: no number would do."""
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
        """Likewise of training seeds; None too where only one was run."""
        room = self._room
        if room is None or not self.worse_by.training_variance or (left := room - self.worse_by.image_variance) <= 0:
            return None
        return math.ceil(seeds * self.worse_by.training_variance / left)

    def _with_images(self, images: int, count: float) -> Difference:
        return replace(self.worse_by, image_variance=self.worse_by.image_variance * images / count)

    def _kept_by(self, worse_by: Difference) -> bool:
        """With few seeds the quantile grows as the images' share of the error shrinks."""
        return worse_by.value + worse_by.quantile(self.level) * worse_by.se < self.margin

    @property
    def _room(self) -> float | None:
        """Variance at which the bound would meet the margin."""
        gap = self.margin - self.worse_by.value
        return (gap / self.quantile) ** 2 if gap > 0 else None


@dataclass(frozen=True)
class Bounds:
    """One configuration against all others, in all metrics."""

    bounds: tuple[Bound, ...]

    @property
    def worst(self) -> Bound:
        """With the least slack."""
        return min(self.bounds, key=lambda bound: bound.slack)

    @property
    def is_good(self) -> bool:
        """As good as the best: every margin is kept."""
        return self.worst.slack > 0

    @property
    def shown_worse_by(self) -> Bound | None:
        """The one that shows it most clearly to be worse than another; None where it is not shown."""
        shown = [bound for bound in self.bounds if bound.shown_worse]
        return max(shown, key=lambda bound: bound.worse_by.value / bound.worse_by.se, default=None)

    def images_needed(self, images: int) -> int | None:
        """For every margin to be kept, if the differences stay as they are; None: no number would do."""
        return most([one.images_needed(images) for one in self.bounds if one.slack <= 0])

    def seeds_needed(self, seeds: int) -> int | None:
        """Likewise of training seeds."""
        return most([one.seeds_needed(seeds) for one in self.bounds if one.slack <= 0])


def most(counts: Sequence[int | None]) -> int | None:
    """The largest, where all are known."""
    known = [count for count in counts if count is not None]
    return max(known) if known and len(known) == len(counts) else None


@dataclass(frozen=True)
class Selection:
    """`chosen` is None where the numbers decide nothing."""

    chosen: str | None
    bounds_of: Mapping[str, Bounds]
    """Of each configuration that has a rival."""
    front: tuple[str, ...]
    """Configurations that no other beats in all metrics with as few parameters, as measured."""
    possible: tuple[str, ...]
    """Those that no other is shown to beat so: the front, and what may belong to it."""
    along_an_axis: bool


def decide(comparison: Comparison, margins: Margins, along_an_axis: bool) -> Selection:
    """The smallest configuration that is as good as the best: not worse than any other by a margin, in any metric.

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
