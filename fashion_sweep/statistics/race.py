"""A race: judging goes on from look to look, only for configurations that the verdict still needs.

All configurations are judged on the same prompts and noise in one order: each look is the beginning of the next. All
that is decided follows from what was judged, look by look and round by round, so that who asks later is told the same.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations
from typing import Literal

import numpy as np

from fashion_sweep.metrics.metric import Metric
from fashion_sweep.statistics.bounds import Bound, Bounds, Margins
from fashion_sweep.statistics.comparison import Comparison, Difference, Measured
from fashion_sweep.statistics.contest import Contest, Entrant
from fashion_sweep.statistics.rules import Rules

End = Literal["decided", "all images", "budget"]


@dataclass(frozen=True)
class Race:
    """How far a race has come."""

    contest: Contest
    rules: Rules
    margins: Margins
    """The margins that every bound of the race is held against."""
    images: Mapping[str, int]
    """The images by which each configuration counts; those that were not judged yet are left out."""
    comparisons: Mapping[int, Comparison]
    """The comparison on so many images, of those that were judged on as many."""
    bounds_of: Mapping[str, Bounds]
    due: Mapping[str, int]
    """The configurations that are to be judged next, and on how many images in all."""
    wanted: Collection[str]
    """The configurations that the next round is for; some of them may have been judged for it already."""
    end: End | None
    """Why it is over; None while it goes on."""

    @property
    def metrics(self) -> Sequence[Metric]:
        return self.contest.metrics

    @cached_property
    def measured(self) -> list[Measured]:
        """Each configuration as measured on its own number of images."""
        return [self._at(images)[name] for name, images in self.images.items()]

    def best_in(self, metric: Metric, of: Collection[str] | None = None) -> Measured:
        """Returns the configuration that is best in a metric, as measured: each two on the images that both have.

        of: those that are considered; None: all.
        """

        def behind(ours: Measured) -> float:
            bounds = (bound for bound in self.bounds_of[ours.name].bounds if bound.metric is metric)
            return max((bound.worse_by.value for bound in bounds if of is None or bound.rival in of), default=0.0)

        return min((one for one in self.measured if of is None or one.name in of), key=behind)

    def estimate(self, metric: Metric, one: Measured) -> Difference:
        """Returns a configuration's value of a metric with its variances."""
        images = self.images[one.name]
        return self.comparisons[images].estimate(metric.name, self._at(images)[one.name])

    def worse_by(self, metric: Metric, ours: Measured, rival: Measured) -> Difference:
        """Returns by how much ours is worse than the rival in a metric, on the images that both were judged on."""
        images = min(self.images[ours.name], self.images[rival.name])
        both = self._at(images)
        return self.comparisons[images].worse_by(metric, both[ours.name], both[rival.name])

    def worse_within(self, metric: Metric, ours: str, rival: str) -> tuple[float, float]:
        """Returns between what it is shown to lie by how much ours is worse than the rival in a metric."""
        there, back = (
            next(bound.at_least for bound in self.bounds_of[one].against(other) if bound.metric is metric)
            for one, other in ((ours, rival), (rival, ours))
        )
        return there, -back

    def _at(self, images: int) -> dict[str, Measured]:
        return {one.name: one for one in self.comparisons[images].measured}

    @property
    def chosen(self) -> str | None:
        """The smallest configuration that is shown to be as good as the best; None for one that is alone."""
        return smallest_good(self.measured, self.bounds_of) if len(self.images) > 1 else None

    @property
    def best(self) -> str:
        """The chosen configuration, else that with the best value of the first metric."""
        return self.chosen or self.best_in(self.metrics[0]).name

    @property
    def out(self) -> tuple[str, ...]:
        """The configurations that are shown to be worse than another."""
        return tuple(name for name, bounds in self.bounds_of.items() if bounds.shown_worse_by)

    def front(self, surely: bool) -> tuple[str, ...]:
        """Returns the configurations that no other beats in all metrics with as few parameters.

        As measured; `surely`: those that no other is shown to beat, so which may be on the front.
        """
        sizes = {one.name: one.parameters for one in self.measured}

        def beaten(bounds: Sequence[Bound]) -> bool:
            return all((one.at_least if surely else one.worse_by.value) > 0 for one in bounds)

        return tuple(
            ours
            for ours in sizes
            if not any(
                sizes[rival] <= sizes[ours] and beaten(self.bounds_of[ours].against(rival))
                for rival in sizes
                if rival != ours
            )
        )


def run_race(contest: Contest, rules: Rules, out_of_time: bool = False) -> Race:
    """Takes the race as far as what was judged allows, and says what is to be judged next.

    out_of_time: nothing more is to be judged.
    """
    course = _Course(contest, rules)
    end: End | None = None
    due: dict[str, int] = {}
    wanted: Collection[str] = ()
    while end is None and not due:
        wanted = course.wanted()
        ahead = {name: rules.looks[course.reached[name] + 1] for name in wanted}
        if not wanted:
            end = "decided" if course.is_settled() else "all images"
        elif course.costs(ahead) > (rules.budget or np.inf):
            end = "budget"
        elif not (due := {name: images for name, images in ahead.items() if course.at(name, images) is None}):
            course.advance(ahead)
        elif out_of_time:
            end, due = "budget", {}
    if end is not None:
        wanted = ()
    return Race(
        contest,
        rules,
        Margins(course.margins, rules.level),
        {name: rules.looks[look] for name, look in course.reached.items()},
        course.comparisons,
        course.bounds_of(),
        due,
        wanted,
        end,
    )


@dataclass
class _Course:
    """The way of a race from look to look."""

    contest: Contest
    rules: Rules
    reached: dict[str, int] = field(default_factory=dict)
    """The look by which each configuration counts."""
    comparisons: dict[int, Comparison] = field(default_factory=dict)
    margins: Mapping[str, float] = field(default_factory=dict)
    """The margin of each metric, which the first look fixes."""
    bounds: dict[tuple[str, str], list[Bound]] = field(default_factory=dict)
    """The bounds of one configuration against another, by metric."""

    def __post_init__(self) -> None:
        self._entrants = {one.name: one for one in self.contest.entrants}
        self._levels = self.rules.levels(len(self.contest.metrics))
        first = self.rules.looks[0]
        self.advance({name: first for name in self._entrants if self.at(name, first) is not None})

    def at(self, name: str, images: int) -> Measured | None:
        return self._entrants[name].at(images)

    def costs(self, ahead: Mapping[str, int]) -> int:
        """Returns the images of all trainings of all configurations after a round."""
        after = {name: self.rules.looks[look] for name, look in self.reached.items()} | dict(ahead)
        first = {name: self.at(name, self.rules.looks[0]) for name in after}
        return sum(images * one.seeds for name, images in after.items() if (one := first[name]))

    def advance(self, ahead: Mapping[str, int]) -> None:
        """Makes a round: takes configurations to their next look, and looks at all pairs that have come there."""
        looks = {name: self.rules.looks.index(images) for name, images in ahead.items()}
        self.reached |= looks
        for look in sorted(set(looks.values())):
            there = [name for name, reached in self.reached.items() if reached >= look]
            self._look(look, there, {name for name, reached in looks.items() if reached == look})

    def _look(self, look: int, names: Sequence[str], new: Collection[str]) -> None:
        images = self.rules.looks[look]
        measured = [one for name in names if (one := self.at(name, images))]
        behind = {name: self.rules.looks[at] for name, at in self.reached.items() if at < look}
        others = [one for name, at in behind.items() if (one := self.at(name, at))]
        comparison = Comparison(measured, self.contest.prompts(images), self.contest.metrics, others)
        self.comparisons[images] = comparison
        self.margins = self.margins or self.contest.margins(
            {one.name: comparison.best_in(one).metrics[one.name].value for one in self.contest.metrics}
        )
        for ours, rival in permutations(measured, 2):
            if ours.name in new or rival.name in new:
                before = {bound.metric: bound for bound in self.bounds.get((ours.name, rival.name), ())}
                self.bounds[ours.name, rival.name] = [
                    self._bound(look, metric, rival.name, comparison.worse_by(metric, ours, rival), before.get(metric))
                    for metric in self.contest.metrics
                ]

    def _bound(self, look: int, metric: Metric, rival: str, worse_by: Difference, earlier: Bound | None) -> Bound:
        levels, margin = self._levels[look], self.margins[metric.name]
        most, least = worse_by.at_most(levels.good), worse_by.at_least(levels.worse)
        return Bound(
            rival=rival,
            metric=metric,
            images=self.rules.looks[look],
            worse_by=worse_by,
            margin=margin,
            tolerated=self.rules.tolerated(margin),
            levels=levels,
            at_least=max(least, earlier.at_least) if earlier else least,
            no_more_than=min(most, earlier.no_more_than) if earlier else most,
        )

    def bounds_of(self) -> dict[str, Bounds]:
        """Returns the bounds of each configuration, as far as it was judged."""
        found = {name: list[Bound]() for name in self.reached}
        for (ours, _), bounds in self.bounds.items():
            found[ours] += bounds
        return {name: Bounds(tuple(bounds)) for name, bounds in found.items()}

    def wanted(self) -> set[str]:
        """Returns the configurations that need more images, of those that have any left.

        What is smaller than the smallest that is good needs to be settled, until one is good whatever is not out. It
        does so beside its strongest rival in each metric; of the two, the one that has fewer images goes on.
        """
        bounds_of, last = self.bounds_of(), len(self.rules.looks) - 1
        unsettled = [name for name in self._open(bounds_of) if not bounds_of[name].is_settled]
        wanted = set[str]()
        for ours in unsettled:
            strongest: dict[str, Bound] = {}
            for bound in sorted(bounds_of[ours].open, key=lambda one: one.slack / one.margin):
                strongest.setdefault(bound.metric.name, bound)
            pairs = [(ours, bound.rival) for bound in strongest.values()]
            looks = [min(self.reached[name] for name in pair) for pair in pairs]
            if last not in looks:  # else it stays open, whatever the other metrics would show
                wanted |= {
                    name for pair, look in zip(pairs, looks, strict=True) for name in pair if self.reached[name] == look
                }
        return wanted

    def is_settled(self) -> bool:
        bounds_of = self.bounds_of()
        return all(bounds_of[name].is_settled for name in self._open(bounds_of))

    def _open(self, bounds_of: Mapping[str, Bounds]) -> list[str]:
        """Returns the configurations that the verdict waits for: those smaller than the chosen one, else all."""
        entrants = [self._entrants[name] for name in self.reached]
        chosen = smallest_good(entrants, bounds_of)
        least = self._entrants[chosen].parameters if chosen else np.inf
        return [one.name for one in entrants if one.parameters < least]


def smallest_good(entrants: Sequence[Entrant | Measured], bounds_of: Mapping[str, Bounds]) -> str | None:
    good = [one for one in entrants if bounds_of[one.name].is_good]
    return min(good, key=lambda one: one.parameters).name if good else None
