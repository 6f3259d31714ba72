"""The trials of a space that meet its budget, found without looking through all that it could combine."""

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, count, islice, product
from typing import Any

from fashion_sweep.adapters.counting import count_parameters
from fashion_sweep.config.placed_adapter import AdapterOptions, PlacedAdapter
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.search_space import Budget, Space
from fashion_sweep.config.trial_spec import TrialSpec, placement_error
from fashion_sweep.errors import ConfigError

MOST_TRIALS = 10_000
MOST_STEPS = 5_000_000
"""The most partial combinations that are looked at, which takes some seconds."""
NEAREST = 3


@dataclass(frozen=True)
class ParameterRange:
    """Parameter counts from `low` to `high`, both included."""

    low: float
    high: float

    @classmethod
    def around(cls, parameters: int, tolerance: float) -> "ParameterRange":
        """Returns the interval around a count; `tolerance` is a share of it, for instance 0.1."""
        return cls(parameters * (1 - tolerance), parameters * (1 + tolerance))

    def __str__(self) -> str:
        return f"{self.low:,.0f} to {self.high:,.0f} parameters"

    def distance(self, parameters: int) -> float:
        """Returns how far a count lies outside; 0 inside."""
        return max(self.low - parameters, parameters - self.high, 0.0)

    def widened(self, share: float) -> "ParameterRange":
        """Returns an interval whose ends lie further out by this share of them."""
        return ParameterRange(max(0.0, self.low * (1 - share)), self.high * (1 + share))


def parameters_of(config: RunConfig, spec: TrialSpec) -> int:
    """Counts a trial's parameters; raises as `count_parameters`."""
    return count_parameters(config.preset.model.base, spec, config.training_of(spec).target_modules)


def wanted(config: RunConfig, budget: Budget) -> int:
    """Returns the number of parameters that a budget is about, or is at most."""
    stated = budget.parameters or budget.at_most
    return stated or parameters_of(config, config.spec_of(budget.equal_to or {}))


def feasible(config: RunConfig, space: Space) -> list[TrialSpec]:
    """Returns every trial of the space that meets its budget, the smallest first; axes that are ranges stay open.

    Raises:
        ConfigError: none does, naming the nearest; or there are more than can be looked through.
    """
    interval, grids = _interval(config, space.budget), _grids(config, space)
    if space.budget and space.budget.nearest:
        return [grids[grid].spec(chosen) for _, grid, chosen in sorted(_nearest_of_each(grids, interval))]
    found = list(islice(_within(grids, interval), MOST_TRIALS + 1))
    if len(found) > MOST_TRIALS:
        raise ConfigError(f"space: has more than {MOST_TRIALS:,} trials; give fewer values, or a narrower budget")
    if not found:
        raise ConfigError(f"space.budget: no placement has {interval}; the nearest: {_nearest(grids, interval)}")
    specs = [grids[grid].spec(chosen) for _, grid, chosen in sorted(found)]
    ids = Counter(spec.trial_id for spec in specs)
    if repeated := next((trial_id for trial_id, times in ids.items() if times > 1), None):
        raise ConfigError(f"space: two of its trials would be called {repeated!r}")
    return specs


Found = tuple[int, int, tuple[int, ...]]
"""A trial: its parameters, the number of its grid, and its choice at each placement."""


@dataclass(frozen=True)
class _Grid:
    """All combinations of adapters of one kind, with one training, whose sizes add up."""

    architecture: str
    kind: str
    training: dict[str, Any]
    placements: Sequence[str]
    choices: Sequence[AdapterOptions]
    sizes: Sequence[Sequence[int]]
    """The parameters of each choice at each placement."""
    apart: frozenset[tuple[int, int]]
    """The placements, by number, that have layers in common, so that a trial adapts only one of the two."""

    def spec(self, chosen: Sequence[int]) -> TrialSpec:
        """Returns the trial with these choices, by number from 1; 0 for no adapter."""
        adapters = {
            placement: PlacedAdapter(placement, self.kind, self.choices[number - 1]).value
            for placement, number in zip(self.placements, chosen, strict=True)
            if number
        }
        return TrialSpec.of(adapters | self.training, self.architecture)


def _grids(config: RunConfig, space: Space) -> list[_Grid]:
    """Returns the grids of a space: one for each kind and each combination of its axes of training."""
    many = len(space.kinds) * math.prod(map(len, space.listed.values()))
    if many > MOST_TRIALS:
        raise ConfigError(
            f"space: {many:,} combinations of kinds and training; give fewer values, up to {MOST_TRIALS:,}"
        )
    architecture, counted = config.architecture.name, dict[Any, tuple[Any, Any]]()
    grids = []
    for kind in space.kinds:
        choices = space.choices(kind)
        for values in product(*space.listed.values()):
            training = dict(zip(space.listed, values, strict=True))

            def size(*placed: tuple[str, AdapterOptions], kind: str = kind, training: dict[str, Any] = training) -> int:
                adapters = {name: PlacedAdapter(name, kind, options).value for name, options in placed}
                return parameters_of(config, TrialSpec.of(adapters | training, architecture))

            layers = (kind, str(training.get("target_modules")))  # all of training that counts
            if layers not in counted:
                counted[layers] = (
                    [[size((placement, options)) for options in choices] for placement in space.placements],
                    frozenset(
                        (a, b)
                        for (a, one), (b, other) in combinations(enumerate(space.placements), 2)
                        if _overlap(size, architecture, one, other, choices[0])
                    ),
                )
            grids.append(_Grid(architecture, kind, training, space.placements, choices, *counted[layers]))
    return grids


def _overlap(size: Any, architecture: str, one: str, other: str, options: AdapterOptions) -> bool:
    """Whether two placements, each of which can be adapted, cannot be together."""
    if placement_error([one, other], architecture):
        return True
    try:
        size((one, options), (other, options))
    except ConfigError:
        return True
    return False


def _sums(
    sizes: Sequence[Sequence[int]], apart: frozenset[tuple[int, int]], interval: ParameterRange, steps: Iterator[int]
) -> Iterator[tuple[tuple[int, ...], int]]:
    """Yields one choice for each place, from 1, or 0 for none but not for all, with its sum if that is in the interval.

    `steps` counts the partial combinations that were looked at, those of other grids among them.

    Raises:
        ConfigError: there are too many to look at.
    """
    ordered = [sorted((size, number) for number, size in enumerate([0, *of_place])) for of_place in sizes]
    most = [max(of_place)[0] for of_place in ordered]
    left = [sum(most[place + 1 :]) for place in range(len(sizes))]

    def choose(place: int, chosen: tuple[int, ...], total: int) -> Iterator[tuple[tuple[int, ...], int]]:
        first = bisect_left(ordered[place], (interval.low - left[place] - total, -1))
        last = bisect_right(ordered[place], (interval.high - total, math.inf))
        for size, number in ordered[place][first:last]:
            if number and any((before, place) in apart for before in range(place) if chosen[before]):
                continue
            if next(steps) > MOST_STEPS:
                raise ConfigError(
                    f"space: more than {MOST_STEPS:,} combinations would have to be looked at; give fewer placements "
                    "or values, or a narrower budget"
                )
            if place + 1 < len(sizes):
                yield from choose(place + 1, (*chosen, number), total + size)
            elif number or any(chosen):
                yield (*chosen, number), total + size

    yield from choose(0, (), 0)


def _within(grids: Sequence[_Grid], interval: ParameterRange) -> Iterator[Found]:
    steps = count()
    return (
        (parameters, number, chosen)
        for number, grid in enumerate(grids)
        for chosen, parameters in _sums(grid.sizes, grid.apart, interval, steps)
    )


def _nearest_of_each(grids: Sequence[_Grid], interval: ParameterRange) -> Iterator[Found]:
    """Yields the trial of each grid that comes nearest to the middle of the interval, the smallest of several."""
    middle, steps = (interval.low + interval.high) / 2, count()
    for number, grid in enumerate(grids):
        share, found = 0.05, list[tuple[tuple[int, ...], int]]()
        while not found and share < 1e6:
            found = list(islice(_sums(grid.sizes, grid.apart, interval.widened(share), steps), MOST_TRIALS))
            share *= 2
        _, parameters, chosen = min((abs(total - middle), total, chosen) for chosen, total in found)
        yield parameters, number, chosen


def _nearest(grids: Sequence[_Grid], interval: ParameterRange) -> str:
    """Returns the trials that come nearest to a budget which none meets, for a message."""
    share, found = 0.05, list[Found]()
    while len(found) < NEAREST and share < 1e6:
        found = list(islice(_within(grids, interval.widened(share)), MOST_TRIALS))
        share *= 2
    nearest = sorted(found, key=lambda one: (interval.distance(one[0]), one))[:NEAREST]
    return "; ".join(f"{grids[grid].spec(chosen).title} with {parameters:,}" for parameters, grid, chosen in nearest)


def _interval(config: RunConfig, budget: Budget | None) -> ParameterRange:
    if budget is None:
        return ParameterRange(0, math.inf)
    if budget.at_most is not None:
        return ParameterRange(0, budget.at_most)
    return ParameterRange.around(wanted(config, budget), budget.tolerance)
