"""Lets Optuna choose trials; by construction only ones within the budget."""

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Number
from typing import Any

import optuna

from fashion_sweep.config.search_space import Space
from fashion_sweep.config.trial_spec import TrialSpec

DIGITS = 3
"""The significant digits of a number drawn from a range; a trial's id then says all of it."""


class Choices:
    """Chooses one value after the other, each only from those that lead to a feasible trial.

    First the kind, if there are several, and the placements: on them depends which options there are to choose. The
    name of a parameter carries what it may be, so that in Optuna each has the same choices for ever; equal choices are
    one parameter, whatever led to them.
    """

    def __init__(self, space: Space, feasible: Sequence[TrialSpec]) -> None:
        """Takes `feasible`, the trials of the space within its budget, with ranges left open."""
        self._space, self._feasible = space, feasible

    def suggest(self, trial: optuna.Trial) -> TrialSpec:
        left = list(self._feasible)
        if len(self._space.kinds) > 1:
            left = _narrow(trial, "kind", left, _kind)
        left = _narrow(trial, "placements", left, _placements)
        for one in left[0].adapters:
            for option in self._space.option_axes(one.kind):
                key = partial(_option, one.placement, option)
                left = _narrow(trial, f"{one.placement} {option}", left, key, ordered=True)
        for name in self._space.listed:
            left = _narrow(trial, name, left, partial(_setting, name))
        assert len(left) == 1
        drawn = {
            name: _rounded(trial.suggest_float(name, axis.low, axis.high, log=axis.log))
            for name, axis in self._space.ranges.items()
        }
        return TrialSpec.of(left[0].values | drawn, left[0].architecture)


def _narrow(
    trial: optuna.Trial, name: str, specs: list[TrialSpec], key: Callable[[TrialSpec], Any], ordered: bool = False
) -> list[TrialSpec]:
    """Returns those `specs` that have the value chosen for `name`; Optuna learns the order of numbers if `ordered`."""
    values = list(dict.fromkeys(map(key, specs)))
    if ordered and all(isinstance(value, Number) for value in values):
        values.sort()
        of = ", ".join(map(str, values))
        chosen = values[trial.suggest_int(f"{name} of {of}", 0, len(values) - 1)]
    else:
        words = {_word(value): value for value in values}
        chosen = words[trial.suggest_categorical(f"{name} of {', '.join(sorted(words))}", sorted(words))]
    return [spec for spec in specs if key(spec) == chosen]


def _placements(spec: TrialSpec) -> tuple[str, ...]:
    return tuple(one.placement for one in spec.adapters)


def _kind(spec: TrialSpec) -> str:
    return spec.adapters[0].kind


def _option(placement: str, option: str, spec: TrialSpec) -> Any:
    return next(getattr(one.options, option) for one in spec.adapters if one.placement == placement)


def _setting(name: str, spec: TrialSpec) -> Any:
    return dict(spec.training)[name]


def _word(value: Any) -> str:
    if isinstance(value, Number) and not isinstance(value, bool):
        return f"{value:g}"
    return "+".join(value) if isinstance(value, tuple) else str(value)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
