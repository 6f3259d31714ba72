"""The axes of a sweep: the settings in which its configurations differ, and how much each of them matters."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from fashion_sweep.config.adapter_columns import adapter_settings
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.training_axes import short_value
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.metrics.metric import Metric
from fashion_sweep.report.configurations import Configuration, configurations
from fashion_sweep.report.results import Results
from fashion_sweep.report.verdict import Interval, SharedLook, Verdict
from fashion_sweep.statistics.variance_share import SumOfSquares, epsilon_squared, projections

PART, KIND, NONE = "part", "kind", "none"
MOST_LEVELS = 6
"""The most values of a numeric axis that stand for themselves; more of them are put into three groups."""
GROUPS = 3


@dataclass(frozen=True)
class SweepAxis:
    """A setting in which configurations differ."""

    name: str
    values: tuple[Any, ...]
    """Its value in each configuration."""

    @property
    def is_numeric(self) -> bool:
        return all(isinstance(value, int | float) and not isinstance(value, bool) for value in self.values)

    @property
    def is_logarithmic(self) -> bool:
        """Whether its values are so far apart that only their logarithms lie well beside each other."""
        return self.is_numeric and min(self.values) > 0 and max(self.values) >= 8 * min(self.values)

    @cached_property
    def places(self) -> tuple[int, ...]:
        """The number of each configuration's level."""
        if self._bounds is not None:
            return tuple(int(place) for place in np.searchsorted(self._bounds, self.values, side="right"))
        distinct = self._distinct
        return tuple(distinct.index(value) for value in self.values)

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """The levels for readers, in their order."""
        if self._bounds is None:
            return tuple(_shown(value) for value in self._distinct)
        inside = (
            [v for v, place in zip(self.values, self.places, strict=True) if place == one] for one in range(GROUPS)
        )
        return tuple(f"{min(own):.3g} to {max(own):.3g}" for own in inside)

    @cached_property
    def _distinct(self) -> list[Any]:
        distinct = list(dict.fromkeys(self.values))
        return sorted(distinct) if self.is_numeric else distinct

    @cached_property
    def _bounds(self) -> "np.ndarray | None":
        if not self.is_numeric or len(self._distinct) <= MOST_LEVELS:
            return None
        return np.quantile(self._distinct, np.arange(1, GROUPS) / GROUPS)


@dataclass(frozen=True)
class AxisPoints:
    """The adapted configurations that were judged on one evaluation set, with their values on each axis."""

    shown: tuple[Configuration, ...]
    axes: tuple[SweepAxis, ...]
    """The axes with more than one value."""
    noise: Mapping[str, np.ndarray]
    """The covariance of the values as they differ from their mean, by metric, K,K; empty if not known."""
    images: int | None = None
    """The images of each that the values are from; None where they differ, or are not known."""

    def importance(self, axis: SweepAxis, metric: Metric) -> Interval | str:
        """Returns the share of the variance between configurations that goes with an axis by itself: epsilon squared.

        It lies in [0, 1], and is about 0 where the levels differ no more than those of a random split of the same
        values: an axis that does nothing, or one that does opposite things beside others. The interval, of about 95 %,
        is that of measuring: of the share that values without their errors would have. Where there is none, the reason
        in words.
        Source: Kelley (1935), An unbiased correlation ratio measure, https://doi.org/10.1073/pnas.21.9.554.
        """
        found = [one.value(metric) for one in self.shown]
        values = np.array([one.value for one in found if one is not None])
        if len(values) < len(found):
            return "not all are measured"
        if len(axis.levels) >= len(values):
            return "a value for each"
        places = np.array(axis.places)
        if metric.name in self.noise and np.trace(self.noise[metric.name]) >= len(values) * values.var():
            return "no more than noise"
        between, within = self._sums(values, places, metric)
        share = epsilon_squared(between.true, within.true, places)
        (least, most), (least_within, most_within) = between.range(), within.range()
        low, high = epsilon_squared(least, most_within, places), epsilon_squared(most, least_within, places)
        return Interval(share, min(low, share), max(high, share))

    def joint(self, first: SweepAxis, second: SweepAxis, metric: Metric) -> float | None:
        """Returns the share of the variance that goes with two axes together; None where each cell has one value."""
        cells = list(zip(first.places, second.places, strict=True))
        values = [one.value(metric) for one in self.shown]
        if len(set(cells)) >= len(cells) or not all(values):
            return None
        ordered = list(dict.fromkeys(cells))
        places = np.array([ordered.index(cell) for cell in cells])
        between, within = self._sums(np.array([one.value for one in values if one]), places, metric)
        return epsilon_squared(between.true, within.true, places)

    def _sums(self, values: np.ndarray, places: np.ndarray, metric: Metric) -> tuple[SumOfSquares, SumOfSquares]:
        """Returns the sums of squares between groups and within them; `places`: the number of each value's group."""
        noise = self.noise.get(metric.name, np.zeros((len(values), len(values))))
        between, within = projections(places)
        return SumOfSquares.of(values, between, noise), SumOfSquares.of(values, within, noise)


def points_of(results: Results, name: str, verdict: Verdict | None) -> AxisPoints:
    """Collects the axes of the configurations that were judged on an evaluation set."""
    specs = {spec.title: spec for spec in (trial.spec.configuration for trial in results.trials)}
    shown = tuple(
        one for one in configurations(results, name, verdict) if one.metrics and not specs[one.title].is_base_model
    )
    single = all(len(specs[one.title].adapters) == 1 for one in shown)
    stated = {name for one in shown for adapter in specs[one.title].adapters for name in adapter.stated}
    values = [_values(specs[one.title], results.config, single, stated) for one in shown]
    names = dict.fromkeys(key for own in values for key in own)
    axes = [SweepAxis(key.replace("_", " "), tuple(own.get(key, NONE) for own in values)) for key in names]
    axes = free([_with_zeros(axis) for axis in axes if len(set(axis.values)) > 1])
    if verdict is None or not shown:
        return AxisPoints(shown, tuple(axes), {})
    look = verdict.shared
    noise = {metric: _noise(shown, of_pairs, look) for metric, of_pairs in look.variances.items()}
    return AxisPoints(tuple(_on_shared_images(one, look) for one in shown), tuple(axes), noise, look.images)


def free(axes: Sequence[SweepAxis]) -> list[SweepAxis]:
    """Returns the axes that no other one decides: at one budget, a kind of adapter or a part has its own size.

    Numbers that no two configurations share decide nothing; of axes that decide each other the first stays.
    """
    kept = list(axes)
    for axis in reversed(axes):
        others = [one for one in kept if one is not axis]
        if any(_decides(one, axis) and not (_decides(axis, one) and _is_before(axis, one, axes)) for one in others):
            kept.remove(axis)
    return kept


def _decides(one: SweepAxis, other: SweepAxis) -> bool:
    pairs, distinct = set(zip(one.values, other.values, strict=True)), set(one.values)
    return len(pairs) == len(distinct) and not (one.is_numeric and len(distinct) == len(one.values))


def _is_before(one: SweepAxis, other: SweepAxis, axes: Sequence[SweepAxis]) -> bool:
    """Whether the first of two that decide each other is the one to keep: words before numbers, else by their order."""
    return (one.is_numeric, axes.index(one)) < (other.is_numeric, axes.index(other))


def _values(spec: TrialSpec, config: RunConfig, single: bool, stated: Collection[str]) -> dict[str, Any]:
    """Returns the trial's value on everything that could be an axis.

    Args:
        spec: the trial.
        config: of its run.
        single: whether all trials have one adapter each.
        stated: the options that an adapter of any trial has for itself: of others the trial's training tells.
    """
    values, training = dict(config.axes_of(spec)), config.training_of(spec)
    for one in spec.adapters:
        title = one.part.title(config.architecture.placements)
        values |= {PART: title} if single else {}
        for key, value in {KIND: one.kind, **adapter_settings(one, training)}.items():
            if key in stated or key not in config.axes_of(spec):
                values[key if single else f"{title} {key}"] = value
    return {key: _plain(value) for key, value in values.items()}


def _plain(value: Any) -> Any:
    return NONE if value is None else tuple(value) if isinstance(value, list) else value


def _with_zeros(axis: SweepAxis) -> SweepAxis:
    """Gives a numeric axis 0 where a configuration has no adapter that the number could be of."""
    numbers = [value for value in axis.values if value != NONE]
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers):
        return axis
    return SweepAxis(axis.name, tuple(0 if value == NONE else value for value in axis.values))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return short_value(value)


def _on_shared_images(one: Configuration, look: SharedLook) -> Configuration:
    return replace(one, images=look.images, metrics=look.estimates[one.title])


def _noise(shown: Sequence[Configuration], variances: Sequence[Sequence[float]], look: SharedLook) -> np.ndarray:
    """Returns the covariance of values less their mean, from the variances of all their differences."""
    order = list(look.estimates)
    rows = [order.index(one.title) for one in shown]
    of_pairs = np.array(variances)[np.ix_(rows, rows)]
    centred = np.eye(len(rows)) - 1 / len(rows)
    return -centred @ of_pairs @ centred / 2
