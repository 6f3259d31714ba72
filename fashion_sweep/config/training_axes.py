"""The settings of training that a trial may have for itself, as axes of a sweep."""

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError, model_validator

from fashion_sweep.config.frozen import Frozen, first_mistake

Alpha = PositiveFloat | Literal["rank", "sqrt_rank"]
"""The alpha of a LoRA: a number, or one that grows with the rank."""
TargetModule = Annotated[str, Field(pattern=r"^\w+(\.\w+)*$", max_length=60)]
TRAINING_AXES = {
    "learning_rate": "lr",
    "lora_alpha": "alpha",
    "epochs": "epochs",
    "steps": "steps",
    "target_modules": "targets",
}
"""Keys of the preset's training that a trial may set for itself, with their short names in its id."""
RANGED_AXES = ("learning_rate", "lora_alpha")
"""The axes that a search may draw from a range."""


class _TrialTraining(Frozen):
    """The training settings that a trial may set for itself; the fields are those of `TrainingConfig`."""

    learning_rate: PositiveFloat | None = None
    lora_alpha: Alpha | None = None
    epochs: PositiveInt | None = None
    steps: PositiveInt | None = None
    target_modules: list[TargetModule] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_length(self) -> "_TrialTraining":
        if self.steps and self.epochs:
            raise ValueError("a trial's length is given in steps or in epochs, not in both")
        return self


def training_values(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of training among a trial's values, brought to their types.

    Raises:
        ValueError: one does not fit.
    """
    stated = {name: value for name, value in values.items() if name in TRAINING_AXES}
    try:
        return _TrialTraining.model_validate(stated).model_dump(include=set(stated))
    except ValidationError as error:
        raise ValueError(first_mistake(error)) from None


def worded(name: str, value: Any) -> str:
    """Returns an axis and its value for readers, for instance `lr 0.001` or `alpha = rank`."""
    return f"{name} = {value}" if isinstance(value, str) else f"{name} {short_value(value)}"


def short_value(value: Any, joint: str = " ") -> str:
    """Returns the value of an axis for readers; `joint`: between the members of a list."""
    if isinstance(value, str):
        return value
    return joint.join(value) if isinstance(value, tuple | list) else f"{value:g}"
