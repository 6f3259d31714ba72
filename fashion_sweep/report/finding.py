"""The kind of verdict that a race has come to: headline and sentence are worded from this alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from fashion_sweep.statistics.bounds import most
from fashion_sweep.statistics.comparison import Measured
from fashion_sweep.statistics.race import Race

Kind = Literal["alone", "against the base", "chosen", "no single best", "undecided"]


@dataclass(frozen=True)
class Needed:
    """What would decide about configurations, if the differences stay as measured."""

    images: int | None
    """The number of images of each, rounded up to two digits; None where no number would do alone."""
    seeds: int | None
    """The number of training seeds; None where no number would do alone."""
    minutes: float | None = None
    """The minutes that a lane takes to draw the images that are missing; None where it is not known."""


@dataclass(frozen=True)
class Finding:
    """A race with the kind of verdict that this is."""

    race: Race
    captions: int
    """The number of captions to be judged at most."""
    image_seconds: float | None
    """The time that a lane took to draw and judge an image here; None where it is not known."""
    kind: Kind

    @cached_property
    def closest(self) -> str:
        """The configuration that the fewest images more would show to be good, or, where no number would, the one
        nearest to it."""
        open_ones = {name: one for name, one in self.race.bounds_of.items() if name not in self.race.out}
        needed = {name: count for name, one in open_ones.items() if (count := one.images_to_be_good())}
        if needed:
            return min(needed, key=needed.__getitem__)
        return max(open_ones, key=lambda name: open_ones[name].worst.slack)

    @cached_property
    def images_needed(self) -> int | None:
        """The number of images of each that would decide; None where it is decided or none would."""
        return self.to_be_good(self.closest).images if self.kind == "undecided" else None

    @property
    def adapter_and_base(self) -> tuple[Measured, Measured]:
        """The only adapter and the base model, of a finding against the base."""
        return _adapter_and_base(self.race)[0]

    @property
    def seeds(self) -> int:
        """The number of trainings of each configuration; the smallest number of any."""
        return min(one.seeds for one in self.race.measured if one.parameters)

    def to_be_good(self, name: str) -> Needed:
        """Returns what would show a configuration to be as good as the best."""
        bounds = self.race.bounds_of[name]
        return self._needed([name], bounds.images_to_be_good(), bounds.seeds_needed(self.seeds))

    def to_be_settled(self, names: Sequence[str]) -> Needed:
        """Returns what would show each of `names` to be good, or to be out; seeds count where no images would."""
        bounds = [self.race.bounds_of[name] for name in names]
        images = most([one.images_needed() for one in bounds])
        return self._needed(names, images, most([one.seeds_needed(self.seeds) for one in bounds]))

    def _needed(self, names: Sequence[str], images: int | None, seeds: int | None) -> Needed:
        if images is None:
            return Needed(None, seeds)
        images = _rounded(images)
        involved = {*names, *(bound.rival for name in names for bound in self.race.bounds_of[name].open)}
        trained = {one.name: one.seeds for one in self.race.measured}
        missing = sum(max(images - self.race.images[name], 0) * trained[name] for name in involved)
        return Needed(images, seeds, missing * self.image_seconds / 60 if self.image_seconds else None)


def classify(race: Race, captions: int, image_seconds: float | None = None) -> Finding:
    """Finds the kind of verdict of a race; `captions` is how many there are to be judged at most."""
    kind: Kind = "undecided"
    if len(race.measured) == 1:
        kind = "alone"
    elif _adapter_and_base(race):
        kind = "against the base"
    elif race.chosen is not None:
        kind = "chosen"
    elif len(race.out) == len(race.measured):
        kind = "no single best"
    return Finding(race, captions, image_seconds, kind)


def _adapter_and_base(race: Race) -> list[tuple[Measured, Measured]]:
    """Returns the only adapter with the base model, where these two are all; else nothing."""
    adapted = [one for one in race.measured if one.parameters]
    base = [one for one in race.measured if not one.parameters]
    return [(adapted[0], base[0])] if len(adapted) == len(base) == 1 else []


def _rounded(count: int) -> int:
    """Rounds upwards to two digits: it is an estimate."""
    step = 10 ** max(len(str(count)) - 2, 0)
    return -(-count // step) * step
