"""The kind of verdict that a comparison came to: headline and sentence are worded from this alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from fashion_sweep.statistics.comparison import Comparison, Measured
from fashion_sweep.statistics.selection import Margins, Selection, most

Kind = Literal["alone", "against the base", "chosen", "no single best", "undecided"]


@dataclass(frozen=True)
class Needed:
    """The numbers that would show configurations to be good, if the differences stay as measured."""

    images: int | None
    """The number of images, rounded up to two digits; None where no number would do alone."""
    seeds: int | None
    """The number of training seeds; None where no number would do alone."""


@dataclass(frozen=True)
class Finding:
    """A comparison with what was selected, and the kind of verdict that this is."""

    comparison: Comparison
    selection: Selection
    margins: Margins
    captions: int
    """The number of captions to be judged at most."""
    kind: Kind
    worse: tuple[str, ...]
    """Configurations that are shown to be worse than another."""

    @cached_property
    def closest(self) -> str:
        """The configuration that has to be shown to be good first.

        Along an axis it is the largest, which is tested first; else the one that the fewest images more would show to
        be good, or, where no number would, the one nearest to it.
        """
        if self.selection.along_an_axis:
            return max(self.comparison.measured, key=lambda one: one.parameters).name
        images = len(self.comparison.prompts)
        open_ones = {name: one for name, one in self.selection.bounds_of.items() if name not in self.worse}
        needed = {name: count for name, one in open_ones.items() if (count := one.images_needed(images))}
        if needed:
            return min(needed, key=needed.__getitem__)
        return max(open_ones, key=lambda name: open_ones[name].worst.slack)

    @cached_property
    def images_needed(self) -> int | None:
        """The number of images that would decide; None where it is decided or none would."""
        return self.needed([self.closest]).images if self.kind == "undecided" else None

    @property
    def adapter_and_base(self) -> tuple[Measured, Measured]:
        """The only adapter and the base model, of a finding against the base."""
        return _adapter_and_base(self.comparison)[0]

    @property
    def seeds(self) -> int:
        """The number of trainings of each configuration; the smallest number of any."""
        return min(one.seeds for one in self.comparison.measured if one.parameters)

    def needed(self, names: Sequence[str]) -> Needed:
        """Returns what would show all of `names` to be good; seeds count where no number of images would."""
        bounds = [self.selection.bounds_of[name] for name in names]
        images = most([one.images_needed(len(self.comparison.prompts)) for one in bounds])
        return Needed(
            None if images is None else _rounded(images), most([one.seeds_needed(self.seeds) for one in bounds])
        )


def classify(comparison: Comparison, selection: Selection, margins: Margins, captions: int) -> Finding:
    """Finds the kind of verdict of a comparison; `captions` is how many there are to be judged at most."""
    worse = tuple(name for name, bounds in selection.bounds_of.items() if bounds.shown_worse_by)
    kind: Kind = "undecided"
    if len(comparison.measured) == 1:
        kind = "alone"
    elif _adapter_and_base(comparison):
        kind = "against the base"
    elif selection.chosen is not None:
        kind = "chosen"
    elif len(worse) == len(comparison.measured):
        kind = "no single best"
    return Finding(comparison, selection, margins, captions, kind, worse)


def _adapter_and_base(comparison: Comparison) -> list[tuple[Measured, Measured]]:
    """Returns the only adapter with the base model, where these two are all; else nothing."""
    adapted = [one for one in comparison.measured if one.parameters]
    base = [one for one in comparison.measured if not one.parameters]
    return [(adapted[0], base[0])] if len(adapted) == len(base) == 1 else []


def _rounded(count: int) -> int:
    """Rounds upwards to two digits: it is an estimate."""
    step = 10 ** max(len(str(count)) - 2, 0)
    return -(-count // step) * step
