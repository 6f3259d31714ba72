"""The settings of training that a trial may have for itself, as axes of a sweep."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    create_model,
)
from pydantic import NonNegativeInt as Count

from fashion_sweep.config.frozen import Frozen, first_mistake
from fashion_sweep.doors import OPTIMIZERS, SCHEDULES, Door
from fashion_sweep.errors import did_you_mean

Growing = Literal["rank", "sqrt_rank"]


def _alpha(value: Any) -> Any:
    known = get_args(Growing)
    if not isinstance(value, str) or value in known:
        return value
    try:
        return float(value)  # YAML 1.1 reads 1e-4 as text
    except ValueError:
        raise ValueError(f"must be a number, {' or '.join(known)}") from None


Alpha = Annotated[PositiveFloat | Growing, BeforeValidator(_alpha)]
"""The alpha of a LoRA: a number, or one that grows with the rank."""
Quantization = Literal["nf4", "int8"]
"""What weights are rounded to: 4 bits a weight, or 8."""
TargetModule = Annotated[str, Field(pattern=r"^\w+(\.\w+)*$", max_length=60)]


@dataclass(frozen=True)
class Axis:
    """Marks a setting that a trial may have for itself."""

    short: str
    """Its name in the ids and titles of trials."""
    is_ranged: bool = False
    """Whether a search may draw it from a range."""


def _known(door: Door) -> AfterValidator:
    """Returns the check that a name is one of a door's."""

    def check(name: str) -> str:
        if name not in door:
            raise ValueError(f"there is none of this name{did_you_mean(name, door.names)}")
        return name

    return AfterValidator(check)


class TrainingAxes(Frozen):
    """The settings of training that are axes; a preset's `training` has these and others."""

    learning_rate: Annotated[PositiveFloat, Axis("lr", is_ranged=True)] = 1e-5
    lora_alpha: Annotated[Alpha, Axis("alpha", is_ranged=True)] = 1.0
    """What the product of a LoRA is multiplied with before it is divided by the rank: a number, or `rank` or
    `sqrt_rank`, with which the scale is 1, or falls with the root of the rank (rsLoRA, arXiv 2312.03732)."""
    epochs: Annotated[PositiveInt | None, Axis("epochs")] = None
    steps: Annotated[PositiveInt | None, Axis("steps")] = None
    """The number of optimizer steps; exactly one of `epochs` and `steps` is set."""
    target_modules: Annotated[tuple[TargetModule, ...] | None, Field(min_length=1), Axis("targets")] = None
    """The names of the layers that get an adapter, for instance `[to_q, to_v, q_proj, v_proj]`.
    null: query, key, value and output projections of every attention module."""
    optimizer: Annotated[str, _known(OPTIMIZERS), Axis("optimizer")] = "adamw"
    """The optimizer, an entry of `doors.OPTIMIZERS`."""
    weight_decay: Annotated[NonNegativeFloat, Axis("decay", is_ranged=True)] = 1e-2
    schedule: Annotated[str, _known(SCHEDULES), Axis("schedule")] = "cosine"
    """The course of the learning rate after its warm-up, an entry of `doors.SCHEDULES`."""
    warmup_steps: Annotated[Count, Axis("warmup")] = 0
    """The steps in which the learning rate rises from zero to its peak."""
    snr_gamma: Annotated[PositiveFloat | None, Axis("snr")] = None
    """The signal-to-noise ratio from which on timesteps count less, usually 5: Hang et al. (2023), arXiv:2303.09556.
    null: all count alike."""
    noise_offset: Annotated[NonNegativeFloat, Axis("offset")] = 0.0
    """How much noise all pixels of a channel have in common, usually 0.05 to 0.1, so that very light and dark pictures
    are learnt: Guttenberg (2023), https://www.crosslabs.org/blog/diffusion-with-offset-noise."""
    proportion_empty_prompts: Annotated[float, Field(ge=0, le=1), Axis("empty")] = 0.0
    """The share of the samples whose caption is the empty one, as in diffusers' scripts. Where a model draws without a
    caption from zeros, as SDXL does without a negative prompt, these are not trained."""
    ema_decay: Annotated[float | None, Field(gt=0, lt=1), Axis("ema")] = None
    """The decay of an average of the adapter over its steps, which is validated and saved in its place; null: none."""


class ModelAxes(Frozen):
    """The settings of the base model that are axes; a preset's `model` has these and others."""

    quantization: Annotated[Quantization | None, Axis("base")] = None
    """What the denoiser's frozen linear layers are rounded to in training, by bitsandbytes: 4 bits a weight (QLoRA,
    Dettmers et al. 2023, arXiv:2305.14314) or 8 (LLM.int8(), arXiv:2208.07339); null: to nothing but `dtype`."""


_FIELDS = TrainingAxes.model_fields | ModelAxes.model_fields
AXES = {name: next(mark for mark in field.metadata if isinstance(mark, Axis)) for name, field in _FIELDS.items()}
TRAINING_AXES = {name: axis.short for name, axis in AXES.items()}
"""Keys of the preset's training and model that a trial may set for itself, with their short names in its id."""
RANGED_AXES = tuple(name for name, axis in AXES.items() if axis.is_ranged)
"""The axes that a search may draw from a range."""
_OPTIONAL: dict[str, Any] = {name: (one.rebuild_annotation(), None) for name, one in _FIELDS.items()}
_TrialTraining: type[Frozen] = create_model("_TrialTraining", __base__=Frozen, **_OPTIONAL)


def training_values(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of training among a trial's values, brought to their types.

    Raises:
        ValueError: one does not fit.
    """
    stated = {name: value for name, value in values.items() if name in TRAINING_AXES}
    if stated.get("steps") and stated.get("epochs"):
        raise ValueError("a trial's length is given in steps or in epochs, not in both")
    try:
        return dict(_TrialTraining.model_validate(stated).model_dump(mode="json", include=set(stated)))
    except ValidationError as error:
        raise ValueError(first_mistake(error)) from None


def worded(name: str, value: Any) -> str:
    """Returns an axis and its value for readers, for instance `lr 0.001` or `alpha = rank`; of a switch its name."""
    if value is True:
        return name
    return f"{name} = {value}" if isinstance(value, str) else f"{name} {short_value(value)}"


def short_value(value: Any, joint: str = " ") -> str:
    """Returns the value of an axis for readers; `joint`: between the members of a list."""
    if isinstance(value, tuple | list):
        return joint.join(value)
    if value is True:  # the axis' name says it
        return ""
    return f"{value:g}" if isinstance(value, int | float) else str(value)
