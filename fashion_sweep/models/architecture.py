"""What is asked of a family of base models before any of its weights are there. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from fashion_sweep.config.data_source import Size
from fashion_sweep.config.model_config import ModelConfig

if TYPE_CHECKING:
    from fashion_sweep.models.model import Model


@dataclass(frozen=True)
class Placement:
    """A part of a base model that can carry an adapter."""

    title: str
    """In titles, for instance `UNet`."""
    components: tuple[str, ...]
    """Of the model, that it stands for."""


@dataclass
class Layers:
    """What a network is made of."""

    linear: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Input and output width by the layer's name."""
    parameters: int = 0
    """Of all its layers, the linear ones included."""


@dataclass(frozen=True)
class Fingerprints:
    """What encodings depend on of a base model, as parts of the keys of the shared cache."""

    autoencoder: Mapping[str, str]
    """Whatever latents depend on."""
    text: Mapping[str, str]
    """Whatever the conditioning of captions depends on."""
    drawing: Mapping[str, str]
    """Whatever pictures depend on besides."""

    @property
    def all(self) -> dict[str, str]:
        """Of the three together."""
        return {**self.autoencoder, **self.text, **self.drawing}


@dataclass(frozen=True)
class Operations:
    """Floating-point operations for one sample of one size; a multiplication and its addition are two."""

    base: float
    """Of one forward pass of the denoiser."""
    second: float
    """Of the model that makes the last steps, likewise; 0 where there is none."""
    text: float
    """Of encoding one caption."""
    encode: float
    decode: float


@dataclass(frozen=True)
class Names:
    """How a family is called by tools that read adapters."""

    hub: str
    """Tag on the Hugging Face hub."""
    modelspec: str
    """`architecture` of Stability's ModelSpec, without the kind of adapter."""
    sd_scripts: str
    """`ss_base_model_version` of kohya's sd-scripts."""


@dataclass(frozen=True)
class Example:
    """What a script that draws with an adapter is about; texts are Python."""

    base: str
    dtype: str
    load: Sequence[str]
    """Lines that load the adapter into `pipeline`."""
    prompt: str
    height: int
    width: int
    original_size: tuple[int, int] | None
    """(height, width) that training was conditioned on."""
    steps: int
    guidance_scale: float


@dataclass(frozen=True)
class TokenLengths:
    """How long captions are, with their begin and end, in the tokens of one tokenizer."""

    tokenizer: str
    limit: int
    """What the text encoder takes."""
    shortest: int
    median: float
    longest: int
    cut: int
    """Captions that lose their end."""


class Architecture(Protocol):
    """A family of base models, by the name that presets give as `model.architecture`.

    A class that inherits from this one states what has no body here, and whatever else is different with it.
    """

    name: str
    components: tuple[str, ...]
    """Modules that can carry an adapter, in the order in which they are listed."""
    text_components: tuple[str, ...]
    """Those among them that read the caption: with an adapter there, captions cannot be encoded beforehand."""
    placements: Mapping[str, Placement]
    """By the names that sweeps use."""

    sampler: str
    """What pictures are drawn with, as galleries have it: for instance `DDIM`."""
    second_title: str = "second model"
    """What makes the last steps of pictures, where anything does."""

    @property
    def names(self) -> Names:
        return Names(self.name, self.name, self.name)

    def example_code(self, example: Example) -> tuple[list[str], list[str]] | None:
        """A script that draws a picture: its imports and its lines; None where diffusers has no such pipeline."""
        return None

    formats: tuple[str, ...] = ("diffusers", "peft")
    """Names of `adapters.formats.FORMATS` in which layers have names; run folders have diffusers'."""

    def target_modules(self, component: str) -> tuple[str, ...]:
        """Names of the linear layers of `component` that are adapted unless a preset names others."""

    def saved_name(self, component: str, layer: str, file_format: str) -> str | None:
        """The name of a layer in a file of that format, without the ending that tells its part; None: it has none.

        Args:
            component: of the model.
            layer: as the component or a file of an adapter has it.
            file_format: one of `formats`.
        """
        return {"diffusers": f"{component}.{layer}", "peft": f"base_model.model.{layer}"}.get(file_format)

    def spellings(self, component: str, layer: str) -> set[str]:
        """Every name that a trainer may give the layer in a file of an adapter."""
        return {f"{component}.{layer}"}

    def layers(self, base: str, component: str) -> Layers:
        """The layers of a component of the model that a preset calls `base`, without its weights.

        Raises:
            ConfigError: the model is nowhere, or something else.
        """

    config_class: type[ModelConfig]
    """Of the `model` section of presets."""

    def check(self, model: Any) -> None:
        """Finds what is wrong with the model as far as that can be told in a second; `model`: a `config_class`.

        Raises:
            ConfigError: a part of it is nowhere, something else, or learnt what cannot be trained or drawn.
        """
        return

    def size_divisor(self, model: Any) -> int:
        """What the height and width of every image must divide by, in pixels."""

    def locate(self, base: str) -> str:
        """The folder or file of the weights, or the hub id where they are not on this disk."""
        return base

    def fingerprints(self, model: Any) -> Fingerprints:
        """What tells the model's encodings from those of others."""

    def view_bytes(self, model: Any, size: Size) -> int:
        """Bytes that the cache takes for one picture: latents as float16, and the conditioning of its framing."""

    def caption_bytes(self, model: Any) -> int:
        """Bytes that the cache takes for the conditioning of one caption."""

    def typical_operations(self, model: Any, size: Size) -> Operations | None:
        """As `operations`, at once and about right; None for models of another size than the usual one."""
        return None

    def operations(self, model: Any, size: Size) -> Operations | None:
        """Counted from configs alone; None where these are not at hand."""
        return None

    def tokenizer_fingerprints(self, base: str) -> Sequence[str]:
        """One for each tokenizer that lies beside the weights."""
        return ()

    def tokenizers(self, base: str) -> Mapping[str, Any]:
        """By name: transformers' tokenizers, from the model's files or as they are known to be."""
        return {}

    def caption_lengths(self, base: str, counts: Mapping[str, int]) -> list[TokenLengths]:
        """Of the captions in `counts`, each as often as it says there, by each tokenizer."""
        return []

    def for_pictures(self, model: Any, refine_fraction: float) -> Any:
        """The same configuration without what makes no step of a picture."""
        return model

    def for_training(self, model: Any) -> Any:
        """The same configuration without what has no part in training."""
        return model

    def load(self, config: Any, device: str, for_pictures: bool) -> "Model":
        """The base model with frozen weights; `for_pictures`: with all that drawing takes.

        Raises:
            ConfigError: its weights are not on this disk, and not to be had.
        """
