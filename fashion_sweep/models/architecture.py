"""The interface of a family of base models before any of its weights are loaded. Imports no torch."""

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
    """The name in titles, for instance `UNet`."""
    components: tuple[str, ...]
    """The components of the model that the placement stands for."""


@dataclass
class Layers:
    """The layers of a network that can carry an adapter, and its number of parameters."""

    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """The shape of the weight of each linear layer and convolution, by its name: outputs, inputs, then the kernel's."""
    parameters: int = 0
    """The number of parameters of all layers, those without an adapter included."""
    embeddings: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """The shape of each embedding of tokens, by its name: vocabulary, width."""


@dataclass(frozen=True)
class Fingerprints:
    """The parts of a base model that encodings and losses depend on, as parts of the keys of the shared cache."""

    autoencoder: Mapping[str, str]
    """Everything that latents depend on."""
    text: Mapping[str, str]
    """Everything that the conditioning of captions depends on."""
    loss: Mapping[str, str]
    """Everything else that the loss depends on."""
    drawing: Mapping[str, str]
    """Everything else that pictures depend on."""

    @property
    def all(self) -> dict[str, str]:
        """The fingerprints of autoencoder, text, loss and drawing together."""
        return {**self.autoencoder, **self.text, **self.loss, **self.drawing}


@dataclass(frozen=True)
class Operations:
    """Floating-point operations for one sample of one size; a multiplication and its addition count as two."""

    base: float
    """The operations of one forward pass of the denoiser."""
    second: float
    """The operations of one forward pass of the model that makes the last steps; 0 where there is none."""
    text: float
    """The operations of encoding one caption."""
    encode: float
    decode: float


@dataclass(frozen=True)
class Names:
    """The names of a family in other tools that read adapters."""

    hub: str
    """The tag on the Hugging Face hub."""
    modelspec: str
    """The `architecture` of Stability's ModelSpec, without the kind of adapter."""
    sd_scripts: str
    """The `ss_base_model_version` of kohya's sd-scripts."""
    reads_kohya: tuple[str, ...] = ()
    """The tools that read a file in the key names of `kohya`, of `handover.model_card.PLACES` and `diffusers`."""


@dataclass(frozen=True)
class Example:
    """The values for a script that draws with an adapter; texts are Python source."""

    base: str
    dtype: str
    load: Sequence[str]
    """The lines that load the adapter into `pipeline`."""
    prompt: str
    height: int
    width: int
    original_size: tuple[int, int] | None
    """The (height, width) that training was conditioned on."""
    steps: int
    guidance_scale: float


@dataclass(frozen=True)
class TokenLengths:
    """The lengths of captions, with their begin and end, in the tokens of one tokenizer."""

    tokenizer: str
    limit: int
    """The number of tokens that the text encoder takes."""
    shortest: int
    median: float
    longest: int
    cut: int
    """The number of captions that lose their end."""


class Architecture(Protocol):
    """A family of base models, by the name that presets give as `model.architecture`.

    A class that inherits from this one defines what has no body here, and overrides whatever else differs.
    """

    name: str
    components: tuple[str, ...]
    """The modules that can carry an adapter, in the order in which they are listed."""
    text_components: tuple[str, ...]
    """The components that read the caption: with an adapter there, captions cannot be encoded beforehand."""
    placements: Mapping[str, Placement]
    """The placements by the names that sweeps use, the denoiser's first."""

    has_snr: bool = False
    """Whether its models know how much signal a timestep leaves, by which its loss can be weighted."""
    sampler: str
    """The name of the sampler that draws pictures, as galleries write it: for instance `DDIM`."""
    is_told_sizes: bool = False
    """Whether pictures are drawn with the size of an original, as training told it."""
    second_title: str = "second model"
    """The title of the model that makes the last steps of pictures, where there is one."""

    @property
    def names(self) -> Names:
        return Names(self.name, self.name, self.name)

    def example_code(self, example: Example, model: Any) -> tuple[list[str], list[str]] | None:
        """Returns imports and lines of a script that draws as `model` does; None where diffusers has no pipeline."""
        return None

    formats: tuple[str, ...] = ("diffusers", "peft")
    """The names of `adapters.formats.FORMATS` in which layers have names; run folders hold diffusers' files."""

    def target_modules(self, component: str) -> tuple[str, ...]:
        """Returns the names of the layers of `component` that are adapted where nothing else names any."""

    def part_name(self, component: str, layer: str) -> str:
        """Returns the name of a layer by which sweeps name the parts of the model; usually its own."""
        return layer

    def saved_name(self, component: str, layer: str, file_format: str) -> str | None:
        """Returns the name of a layer in a file of that format, or None where it has none.

        The name comes without the ending that tells the part of the layer.

        Args:
            component: of the model.
            layer: as the component or a file of an adapter has it.
            file_format: one of `formats`.
        """
        return {"diffusers": f"{component}.{layer}", "peft": f"base_model.model.{layer}"}.get(file_format)

    embedding_keys: Mapping[str, str] = {}
    """The key of a text encoder's learned tokens in a file of textual inversion, by component."""

    def spellings(self, component: str, layer: str) -> set[str]:
        """Returns every name that a trainer may give the layer in a file of an adapter."""
        return {f"{component}.{layer}"}

    def layers(self, base: str, component: str) -> Layers:
        """Returns the layers of a component of the model that a preset calls `base`, without loading its weights.

        Raises:
            ConfigError: the model cannot be found, or is of another architecture.
        """

    config_class: type[ModelConfig]
    """The class of the `model` section of presets."""

    def check(self, model: Any) -> None:
        """Checks all about the model that can be checked in a second; `model`: a `config_class`.

        Raises:
            ConfigError: a part of it cannot be found, is something else, or learnt what cannot be trained or drawn.
        """
        return

    def size_divisor(self, model: Any) -> int:
        """Returns the number of pixels that the height and width of every image must divide by."""

    def locate(self, base: str) -> str:
        """Returns the folder or file of the weights, or the hub id where they are not on this disk."""
        return base

    def fingerprints(self, model: Any) -> Fingerprints:
        """Returns what tells the model's encodings from those of other models."""

    def view_bytes(self, model: Any, size: Size) -> int:
        """Returns the bytes of one picture in the cache: latents as float16, and the conditioning of its framing."""

    def caption_bytes(self, model: Any) -> int:
        """Returns the bytes of the conditioning of one caption in the cache."""

    def typical_operations(self, model: Any, size: Size) -> Operations | None:
        """Estimates `operations` at once; None for models of another size than the usual one."""
        return None

    def operations(self, model: Any, size: Size) -> Operations | None:
        """Counts the floating-point operations from configs alone; None where these are not at hand."""
        return None

    def tokenizer_fingerprints(self, base: str) -> Sequence[str]:
        """Returns a fingerprint for each tokenizer that lies beside the weights."""
        return ()

    def tokenizers(self, base: str) -> Mapping[str, Any]:
        """Returns transformers' tokenizers by name, from the model's files or as they are known to be."""
        return {}

    def caption_lengths(self, base: str, counts: Mapping[str, int]) -> list[TokenLengths]:
        """Returns the token lengths, by each tokenizer, of the captions in `counts`, each as often as counted there."""
        return []

    def for_pictures(self, model: Any, refine_fraction: float) -> Any:
        """Returns the configuration without the models that make no step of a picture."""
        return model

    def for_training(self, model: Any) -> Any:
        """Returns the configuration without the models that have no part in training."""
        return model

    def load(self, config: Any, device: str, for_pictures: bool) -> "Model":
        """Loads the base model with frozen weights; `for_pictures`: with all that drawing takes.

        Raises:
            ConfigError: its weights are neither on this disk nor available elsewhere.
        """
