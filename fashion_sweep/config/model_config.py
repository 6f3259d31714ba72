"""What a preset says of the base model: what all have in common, read by the class of its architecture."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny

from fashion_sweep.config.frozen import Frozen
from fashion_sweep.doors import ARCHITECTURES
from fashion_sweep.errors import ConfigError

RANDOM = "random:"
"""Before any other name of a model: its architecture, with random weights."""


class ModelConfig(Frozen):
    """What the base model of every architecture has; an architecture adds fields of its own in a subclass."""

    architecture: str = "sdxl"
    """A name in `doors.ARCHITECTURES`."""
    base: str = Field(min_length=1)
    """Hub id, diffusers folder, single-file checkpoint (`.safetensors`), or `embedded:<name>`; `random:` before a name:
    its architecture with random weights."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Of the frozen weights. Adapter weights are always float32."""
    attention: Literal["auto", "sdpa", "xformers"] = "auto"
    """auto: xformers where its kernels run, else torch's own scaled_dot_product_attention."""
    channels_last: bool = False
    """Memory layout of the convolutions; may be faster on GPUs with tensor cores."""
    compile: bool = False
    """`torch.compile` of the denoiser's blocks: a minute or more before the first step, faster ones after."""

    @property
    def second_model(self) -> str | None:
        """The model that makes the last steps of pictures; None: the base model makes all."""
        return None

    def with_random_weights(self) -> Self:
        """The same architecture with random weights in place of its own."""
        return self.model_copy(update={"base": randomly_filled(self.base)})


def randomly_filled(name: str) -> str:
    """The name of a model of the same architecture with random weights."""
    return name if name.startswith(RANDOM) else RANDOM + name


def model_config_classes() -> list[type[ModelConfig]]:
    """One for each architecture that there is."""
    return [ARCHITECTURES[name].config_class for name in ARCHITECTURES.names]


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
"""Read, and written again, with the fields of its architecture."""
