"""Bounds on how much worse one configuration is than another: what they show, and what it would take to show more."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from fashion_sweep.metrics.metric import Metric
from fashion_sweep.statistics.comparison import Difference

PRECISE = 1.001
"""The precision of a number of images: the ratio of one that would do to one that would not."""


@dataclass(frozen=True)
class Margins:
    """The margins that say how much worse still counts as good; fixed before the sweep, or as shares of the best values
    at the first look."""

    by_metric: Mapping[str, float]
    """The margin of each metric, in the units of tables."""
    level: float = 0.95
    """The confidence of all that is claimed together."""


@dataclass(frozen=True)
class Levels:
    """The one-sided confidence of a single bound, so that those of all looks, pairs and metrics hold together."""

    good: float
    """Of a bound that shows a configuration to keep a margin."""
    worse: float
    """Of a bound that shows it to be worse."""


@dataclass(frozen=True)
class Bound:
    """How much worse a configuration is than a rival in one metric, beside the margin that it has to keep."""

    rival: str
    metric: Metric
    images: int
    """The images that both were judged on."""
    worse_by: Difference
    margin: float
    tolerated: float
    """By how much it may be shown to be worse and not be out: the margin without the zone of indifference."""
    levels: Levels
    at_least: float
    """By how much it is shown to be worse, now or at an earlier look; all such bounds hold at once."""
    no_more_than: float
    """By how much it may be worse at most, now or by an earlier look; these hold at once, too."""

    @property
    def kept(self) -> bool:
        """Whether the margin is shown to be kept, now or at an earlier look."""
        return self.no_more_than < self.margin

    @property
    def at_most(self) -> float:
        """By how much it may be worse, as far as this look tells: what has to keep the margin."""
        return self.worse_by.at_most(self.levels.good)

    @property
    def slack(self) -> float:
        """The distance of the bound below the margin; not positive where the margin is not kept."""
        return self.margin - self.at_most

    @property
    def shown_worse(self) -> bool:
        """Whether the rival is shown to be better by more than is tolerated: then the configuration is out."""
        return self.at_least > self.tolerated

    def images_to_keep(self) -> int | None:
        """Returns how many images would keep the margin if the difference stayed as it is; None: no number would do."""
        return self._fewest(lambda one: one.at_most(self.levels.good) < self.margin)

    def images_to_be_out(self) -> int | None:
        """Returns how many images would show it to be worse if the difference stayed; None: no number would do."""
        return self._fewest(lambda one: one.at_least(self.levels.worse) > self.tolerated)

    def seeds_needed(self, seeds: int) -> int | None:
        """Returns how many seeds would keep the margin; None where no number would do, or only one was run."""
        gap = self.margin - self.worse_by.value
        if gap <= 0 or not self.worse_by.training_variance:
            return None
        left = (gap / self.worse_by.quantile(self.levels.good)) ** 2 - self.worse_by.image_variance
        return math.ceil(seeds * self.worse_by.training_variance / left) if left > 0 else None

    def _fewest(self, decided: Callable[[Difference], bool]) -> int | None:
        """Returns the fewest images at which the difference is decided.
        With few seeds the quantile grows as the images' share of the error shrinks."""

        def at(count: float) -> bool:
            share = self.images / count
            variance, third = share * self.worse_by.image_variance, share**2 * self.worse_by.third
            return decided(replace(self.worse_by, image_variance=variance, third=third))

        if not at(math.inf):
            return None
        few = enough = float(self.images)
        while not at(enough):
            few, enough = enough, 2 * enough
        while enough > PRECISE * few:
            half = math.sqrt(few * enough)
            few, enough = (few, half) if at(half) else (half, enough)
        return math.ceil(enough)


@dataclass(frozen=True)
class Bounds:
    """The bounds of one configuration against all others, in all metrics."""

    bounds: tuple[Bound, ...]

    @property
    def open(self) -> tuple[Bound, ...]:
        """The bounds whose margin is not shown to be kept."""
        return tuple(bound for bound in self.bounds if not bound.kept)

    @property
    def worst(self) -> Bound:
        """The bound with the least slack; of those that are open, where any are."""
        return min(self.open or self.bounds, key=lambda bound: bound.slack)

    @property
    def is_good(self) -> bool:
        """Whether the configuration is as good as the best: every margin is kept."""
        return not self.open

    @property
    def shown_worse_by(self) -> Bound | None:
        """The bound that shows most clearly that it is out; None where none does, or all margins are kept anyway."""
        shown = [] if self.is_good else [bound for bound in self.bounds if bound.shown_worse]
        return max(shown, key=lambda bound: bound.at_least - bound.tolerated, default=None)

    def against(self, rival: str) -> tuple[Bound, ...]:
        return tuple(bound for bound in self.bounds if bound.rival == rival)

    @property
    def is_settled(self) -> bool:
        return self.is_good or self.shown_worse_by is not None

    def images_to_be_good(self) -> int | None:
        """Returns how many images would show it to be good if the differences stayed; None: no number would do."""
        return most([bound.images_to_keep() for bound in self.open])

    def images_needed(self) -> int | None:
        """Returns how many images would settle it if the differences stayed; None: no number would do."""
        good = self.images_to_be_good()
        out = [count for bound in self.bounds if (count := bound.images_to_be_out())]
        return min([*([good] if good else []), *out], default=None)

    def seeds_needed(self, seeds: int) -> int | None:
        """Returns how many training seeds would keep every margin; None: no number would do."""
        return most([bound.seeds_needed(seeds) for bound in self.open])


def most(counts: Sequence[int | None]) -> int | None:
    """Returns the largest count; None where one is unknown, or there is none."""
    numbers = [count for count in counts if count is not None]
    return max(numbers) if numbers and len(numbers) == len(counts) else None
