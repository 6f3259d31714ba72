"""The settings of the space that trials come from in a sweep file.

They are placements, kinds of adapters with their options, axes of training, budget, and a search in the space.
"""

import math
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic import NonNegativeInt as Count

from fashion_sweep.config.frozen import Frozen, first_mistake
from fashion_sweep.config.placed_adapter import AdapterOptions, PlacedAdapter
from fashion_sweep.config.training_axes import RANGED_AXES, TRAINING_AXES, training_values
from fashion_sweep.doors import ADAPTER_KINDS
from fashion_sweep.errors import did_you_mean

MOST_CHOICES = 10_000
"""The most combinations of the options of a kind of adapters."""
LARGEST_RANK = 4096
"""The largest rank: it is more than the width of any layer, so that a larger one says nothing new."""


def adapter_values(values: dict[str, Any]) -> dict[str, Any]:
    """Returns adapters by placement as a sweep file has them, each with its options brought to their types.

    Raises:
        ValueError: there is no such kind of adapter, or its options do not fit.
    """
    placed = {name: _read(name, value) for name, value in values.items()}
    return {name: 0 if one is None else one.value for name, one in placed.items()}


def _read(name: str, value: Any) -> PlacedAdapter | None:
    try:
        return PlacedAdapter.read(name, value)
    except ValueError:
        meant = did_you_mean(name, TRAINING_AXES)
        if "did you mean" in meant:
            raise ValueError(f"{name}: is no setting of a trial{meant}") from None
        raise


class Budget(Frozen):
    """The number of parameters that the trials of a space may have.

    It is about that of `parameters` or `equal_to`, or any number up to `at_most`. Exactly one of the three is set.
    """

    parameters: PositiveInt | None = None
    equal_to: Annotated[dict[str, Any], AfterValidator(adapter_values)] | None = None
    """The adapters whose number of parameters is meant, written as a trial is."""
    at_most: PositiveInt | None = None
    tolerance: float = Field(0.10, ge=0, lt=1)
    """The share by which a trial may have fewer, or more, parameters than `parameters` or `equal_to` says."""
    nearest: bool = False
    """Whether each kind of adapter comes once, with the size that is nearest, however far that is."""

    @model_validator(mode="after")
    def _one_size(self) -> "Budget":
        if [self.parameters, self.equal_to, self.at_most].count(None) != 2:
            raise ValueError("exactly one of parameters, equal_to and at_most must be set")
        if self.nearest and (self.at_most is not None or "tolerance" in self.model_fields_set):
            raise ValueError("nearest: goes with parameters or equal_to, and without a tolerance")
        return self


class Range(Frozen):
    """A range of numbers that a search may draw from."""

    low: PositiveFloat
    high: PositiveFloat
    log: bool = False
    """Whether numbers are drawn evenly in their logarithm."""

    @model_validator(mode="after")
    def _ascends(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be smaller than high {self.high:g}")
        return self


class StopEarly(Frozen):
    """Ends trials early by asynchronous successive halving, https://arxiv.org/abs/1810.05934.

    At `grace_steps`, and each time the steps have grown by `reduction_factor`, a trial goes on only if it is among the
    best of those that came so far.
    """

    metric: Literal["val_loss"] = "val_loss"
    """The metric compared; not FID: at the few images that could be spared for it, it is mostly bias."""
    grace_steps: PositiveInt
    reduction_factor: int = Field(3, ge=2)

    def rungs(self, steps: int) -> list[int]:
        """Returns the steps at which trials of `steps` steps are compared; not their end, where they are judged."""
        rungs, step = [], self.grace_steps
        while step < steps:
            rungs.append(step)
            step *= self.reduction_factor
        return rungs


class Search(Frozen):
    """A search, in which Optuna chooses trials from the space one after the other, instead of running all of it."""

    trials: PositiveInt = 16
    """The number of trials that are begun."""
    objectives: list[str] = Field(["fid"], min_length=1)
    """The objectives of the search: `parameters`, and metrics of the first evaluation set.
    Of several, Optuna looks for trials that are not beaten in all at once."""
    stop_early: StopEarly | None = None
    seed: Count = 0

    @field_validator("objectives")
    @classmethod
    def _once_each(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("an objective is listed twice")
        return names


class Space(Frozen):
    """A rule that makes trials: every placement with an adapter of each size or without one, within the budget.

    A trial's adapters are all of one kind.
    """

    placements: list[str] = Field(min_length=1)
    kinds: list[str] = Field(default_factory=lambda: [ADAPTER_KINDS.default], min_length=1)
    """The kinds of adapters, by name."""
    ranks: list[Annotated[int, Field(ge=1, le=LARGEST_RANK)]] = Field([])
    """The values of the option `rank`, for the kinds that have one."""
    options: dict[str, list[Any]] = Field({})
    """The values of options beside the rank, for the kinds that have them."""
    training: dict[str, list[Any] | Range] = Field({})
    """Further axes, for instance `{learning_rate: [1e-5, 1e-4]}`; keys as in `TRAINING_AXES`.
    In a search, numbers may come from a range."""
    budget: Budget | None = None

    @model_validator(mode="after")
    def _says_nothing_twice_or_in_vain(self) -> "Space":
        if {"steps", "epochs"} <= set(self.training):
            raise ValueError("training: a trial's length is given in steps or in epochs, not in both")
        if "rank" in self.options:
            raise ValueError("options: ranks have a list of their own, ranks")
        axes: dict[str, list[Any]] = {"placements": self.placements, "kinds": self.kinds, "ranks": self.ranks}
        axes |= self.options | self.listed
        for key, values in axes.items():
            if repeated := [value for value in values if values.count(value) > 1]:
                raise ValueError(f"{key}: {repeated[0]} is listed twice")
        for kind in self.kinds:
            self.choices(kind)
        used = {name for kind in self.kinds for name in self.option_axes(kind)}
        listed = [*(["rank"] if self.ranks else []), *self.options]
        if unused := next((name for name in listed if name not in used), None):
            raise ValueError(f"{unused}: is no option of {' or '.join(self.kinds)}")
        return self

    @field_validator("kinds")
    @classmethod
    def _kinds_are_known(cls, kinds: list[str]) -> list[str]:
        for kind in kinds:
            if kind not in ADAPTER_KINDS:
                raise ValueError(f"{kind!r} is no kind of adapter{did_you_mean(kind, ADAPTER_KINDS.names)}")
        return kinds

    def option_axes(self, kind: str) -> dict[str, list[Any]]:
        """Returns the values of each option of `kind` that the space lists."""
        listed = {"rank": self.ranks, **self.options}
        return {
            name: values
            for name, values in listed.items()
            if values and name in ADAPTER_KINDS[kind].options.model_fields
        }

    def choices(self, kind: str) -> list[AdapterOptions]:
        """Returns every combination of the options of `kind`, those that mean the same once.

        Raises:
            ValueError: one does not fit, or the kind needs one that the space does not list.
        """
        axes, model = self.option_axes(kind), ADAPTER_KINDS[kind].options
        if (count := math.prod(map(len, axes.values()))) > MOST_CHOICES:
            raise ValueError(
                f"{kind}: has {count:,} combinations of options; give fewer values, up to {MOST_CHOICES:,}"
            )
        try:
            made = (model(**dict(zip(axes, values, strict=True))) for values in product(*axes.values()))
            return [*dict.fromkeys(made)]
        except ValidationError as error:
            raise ValueError(f"{kind}: {first_mistake(error)}") from None

    @field_validator("training")
    @classmethod
    def _axes_are_known(cls, axes: dict[str, list[Any] | Range]) -> dict[str, list[Any] | Range]:
        if empty := [name for name, values in axes.items() if not values]:
            raise ValueError(f"{empty[0]}: at least one value is needed")
        return {name: _axis(name, values) for name, values in axes.items()}

    @property
    def listed(self) -> dict[str, list[Any]]:
        """The axes of training that are lists."""
        return {name: values for name, values in self.training.items() if isinstance(values, list)}

    @property
    def ranges(self) -> dict[str, Range]:
        return {name: values for name, values in self.training.items() if isinstance(values, Range)}


def _axis(name: str, values: list[Any] | Range) -> list[Any] | Range:
    if isinstance(values, list):
        return [trial_values({name: value})[name] for value in values]
    if name not in RANGED_AXES:
        raise ValueError(f"{name}: may not be a range, as may {', '.join(RANGED_AXES)}; list its values")
    return values


def trial_values(values: dict[str, Any]) -> dict[str, Any]:
    """Returns a trial as a sweep file has it, with its values brought to their types.

    Raises:
        ValueError: an adapter's options do not fit its kind, or a value of training does not fit.
    """
    training = training_values(values)
    placed = adapter_values({name: value for name, value in values.items() if name not in TRAINING_AXES})
    return placed | training
