"""What a sweep file may say of the space that trials come from: placements, ranks, axes, budget, and a search in it."""

import math
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic import NonNegativeInt as Count

from fashion_sweep.config.trial_spec import TRAINING_AXES, Placement, TrialSpec, placement_error

TargetModule = Annotated[str, Field(pattern=r"^\w+(\.\w+)*$", max_length=60)]
Objective = Literal["fid", "clip_score", "parameters", "kid"]
LARGEST_RANK = 4096
"""More than the width of any layer: a larger rank says nothing new."""
MOST_TRIALS = 100_000
RANGED_AXES = ("learning_rate", "lora_alpha")


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)


class Budget(Frozen):
    """How many parameters the trials of a space may have: about as many as `parameters` or `equal_to` says, or any
    number up to `at_most`. Exactly one of the three is set."""

    parameters: PositiveInt | None = None
    equal_to: dict[Placement, PositiveInt] | None = None
    """As many as these placements at these ranks have."""
    at_most: PositiveInt | None = None
    tolerance: float = Field(0.10, ge=0, lt=1)
    """A trial may have this share less, or more, than `parameters` or `equal_to`."""

    @model_validator(mode="after")
    def _one_size(self) -> "Budget":
        if [self.parameters, self.equal_to, self.at_most].count(None) != 2:
            raise ValueError("exactly one of parameters, equal_to and at_most must be set")
        if self.equal_to and (error := placement_error(TrialSpec.of(self.equal_to))):
            raise ValueError(error)
        return self


class Range(Frozen):
    low: PositiveFloat
    high: PositiveFloat
    log: bool = False
    """Drawn evenly in its logarithm."""

    @model_validator(mode="after")
    def _ascends(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be smaller than high {self.high:g}")
        return self


class StopEarly(Frozen):
    """At `grace_steps`, and each time the steps have grown by `reduction_factor`, a trial goes on only if it is among
    the best of those that came so far: asynchronous successive halving, https://arxiv.org/abs/1810.05934."""

    metric: Literal["val_loss"] = "val_loss"
    """Not FID: at the few images that could be spared for it, it is mostly bias."""
    grace_steps: PositiveInt
    reduction_factor: int = Field(3, ge=2)

    def rungs(self, steps: int) -> list[int]:
        """Steps at which trials of `steps` steps are compared; not at their end, where they are judged."""
        rungs, step = [], self.grace_steps
        while step < steps:
            rungs.append(step)
            step *= self.reduction_factor
        return rungs


class Search(Frozen):
    """Has Optuna choose trials from the space one after the other, instead of running all of it."""

    trials: PositiveInt = 16
    """How many are begun."""
    objectives: list[Objective] = Field(["fid"], min_length=1)
    """Of several, Optuna looks for trials that are not beaten in all at once."""
    stop_early: StopEarly | None = None
    seed: Count = 0

    @field_validator("objectives")
    @classmethod
    def _once_each(cls, names: list[Objective]) -> list[Objective]:
        if len(set(names)) < len(names):
            raise ValueError("an objective is listed twice")
        return names


class Space(Frozen):
    """Trials by rule: every placement at each of the ranks or not at all, within the budget."""

    placements: list[Placement] = Field(min_length=1)
    ranks: list[Annotated[int, Field(ge=1, le=LARGEST_RANK)]] = Field(min_length=1)
    training: dict[str, list[Any] | Range] = {}
    """Further axes, for instance `{learning_rate: [1e-5, 1e-4]}`; keys as in `TRAINING_AXES`. In a search, numbers may
    come from a range."""
    budget: Budget | None = None

    @model_validator(mode="after")
    def _placements_are_known(self) -> "Space":
        for name in self.placements:
            if error := placement_error(TrialSpec.of({name: 1})):
                raise ValueError(error)
        if {"steps", "epochs"} <= set(self.training):
            raise ValueError("training: a trial's length is given in steps or in epochs, not in both")
        axes: dict[str, list[Any]] = {"placements": self.placements, "ranks": self.ranks, **self.listed}
        combined = (len(self.ranks) + 1) ** len(self.placements) * math.prod(map(len, self.listed.values()))
        if combined > MOST_TRIALS:
            raise ValueError(f"{combined:,} combinations are more than the {MOST_TRIALS:,} that can be looked through")
        for key, values in axes.items():
            if repeated := [value for value in values if values.count(value) > 1]:
                raise ValueError(f"{key}: {repeated[0]} is listed twice")
        return self

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
        raise ValueError(f"{name}: only {' and '.join(RANGED_AXES)} may be ranges; list its values")
    return values


class _TrialTraining(Frozen):
    """What a trial may set for itself; the fields are those of `TrainingConfig`."""

    learning_rate: PositiveFloat | None = None
    lora_alpha: PositiveFloat | None = None
    epochs: PositiveInt | None = None
    steps: PositiveInt | None = None
    target_modules: list[TargetModule] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_length(self) -> "_TrialTraining":
        if self.steps and self.epochs:
            raise ValueError("a trial's length is given in steps or in epochs, not in both")
        return self


def trial_values(values: dict[str, Any]) -> dict[str, Any]:
    """A trial as a sweep file has it, with its values brought to their types.

    Raises:
        ValueError: a rank is no whole number, or a value of training does not fit.
    """
    ranks = {name: value for name, value in values.items() if name not in TRAINING_AXES}
    for name, rank in ranks.items():
        if error := placement_error(TrialSpec.of({name: 1})):
            raise ValueError(error)
        if not isinstance(rank, int) or isinstance(rank, bool) or not 0 <= rank <= LARGEST_RANK:
            raise ValueError(f"{name}: the rank must be a whole number from 0 to {LARGEST_RANK}, not {rank!r}")
    given = {name: value for name, value in values.items() if name in TRAINING_AXES}
    try:
        training = _TrialTraining.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
        raise ValueError(f"{where}{first['msg'].removeprefix('Value error, ')} (not {first['input']!r})") from None
    return ranks | training.model_dump(include=set(given))
