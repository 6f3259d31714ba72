"""The settings of the base model that all architectures have in common; each is read by its architecture's class."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny

from fashion_sweep.config.training_axes import ModelAxes
from fashion_sweep.doors import ARCHITECTURES
from fashion_sweep.errors import ConfigError

RANDOM = "random:"
"""The prefix of a model's name that asks for its architecture with random weights."""


class ModelConfig(ModelAxes):
    """The settings of any architecture's base model; an architecture adds fields of its own in a subclass."""

    architecture: str = ARCHITECTURES.default
    """The architecture, by its name in `doors.ARCHITECTURES`."""
    base: str = Field(min_length=1)
    """The base model: hub id, diffusers folder, single-file checkpoint (`.safetensors`), or `embedded:<name>`.
    `random:` before a name asks for its architecture with random weights."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """The type of the frozen weights; adapter weights are always float32."""
    attention: Literal["auto", "sdpa", "xformers"] = "auto"
    """The kernels of attention; auto: xformers where its kernels run, a GPU's probe finding
    them faster, else torch's own scaled_dot_product_attention."""
    channels_last: bool | Literal["auto"] = "auto"
    """Whether convolutions have the channels-last memory layout; may be faster on GPUs with tensor cores.
    auto: where a probe of the GPU finds it faster."""
    compile: bool | Literal["auto"] = "auto"
    """Whether `torch.compile` compiles the denoiser's blocks: a minute or more at first, faster steps after.
    auto: where a probe of the GPU finds that it saves more than it takes."""

    @property
    def second_model(self) -> str | None:
        """The model that makes the last steps of pictures; None: the base model makes all."""
        return None

    def with_random_weights(self) -> Self:
        """Returns the same architecture with random weights in place of its own."""
        return self.model_copy(update={"base": randomly_filled(self.base)})


def randomly_filled(name: str) -> str:
    """Returns the name of a model of the same architecture with random weights."""
    return name if name.startswith(RANDOM) else RANDOM + name


def model_config_classes() -> list[type[ModelConfig]]:
    """Returns the class of settings of each architecture that there is."""
    return [ARCHITECTURES[name].config_class for name in ARCHITECTURES.names]


def architectures_with(setting: str) -> list[str]:
    """Returns the architectures whose `model` section may have a setting, by its dotted name in a preset."""
    section, _, name = setting.rpartition(".")
    names = ARCHITECTURES.names if section == "model" else ()
    return [one for one in names if name in ARCHITECTURES[one].config_class.model_fields]


def _of_its_architecture(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    name = values.get("architecture", ModelConfig.model_fields["architecture"].default)
    try:
        config_class: type[ModelConfig] = ARCHITECTURES[str(name)].config_class
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return config_class.model_validate(values)


AnyModelConfig = Annotated[SerializeAsAny[ModelConfig], BeforeValidator(_of_its_architecture)]
"""The base model's settings, read and written with the fields of its architecture."""
