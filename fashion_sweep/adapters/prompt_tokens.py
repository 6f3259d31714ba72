"""Prompt tokens: learned embeddings of words that no prompt could say. Imports torch only when it is used.

Sources: Lester et al., prompt tuning (2021), https://arxiv.org/abs/2104.08691; Gal et al., textual inversion (2022),
https://arxiv.org/abs/2208.01618.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field, PositiveFloat

from fashion_sweep.adapters.kind import AdapterKind, LayerTensors, Parts
from fashion_sweep.config.placed_adapter import AdapterOptions
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.config.training_axes import short_value
from fashion_sweep.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

VECTORS = "prompt_tokens"
"""The part of an embedding that is trained, and the name of its settings in files."""


class PromptTokensOptions(AdapterOptions):
    """The options of prompt tokens in a sweep."""

    num_tokens: int = Field(ge=1, le=64)
    """The number of tokens in each text encoder."""
    initial_words: str | None = Field(None, min_length=1)
    """The words whose embeddings they start as, repeated as needed; null: words drawn from the vocabulary."""
    learning_rate: PositiveFloat | None = None
    """The learning rate; null: that of the trial."""
    token: str = Field("<fashion>", min_length=1, max_length=40)
    """What stands for them in prompts."""
    prepended: bool = True
    """Whether every caption and prompt begins with them; false: where it has `token`."""


class PromptTokens(AdapterKind):
    """Prompt tokens as a kind of adapter; `adapters.kind.AdapterKind` has the members' contracts."""

    name, title, family = "prompt_tokens", "prompt tokens", "textual-inversion"
    options: type[AdapterOptions] = PromptTokensOptions
    axes: tuple[str, ...] = ("num_tokens",)
    targets: tuple[str, ...] | None = ("token_embedding",)
    has_own_file = True
    formats: Mapping[str, Mapping[str, str]] = {"peft": {VECTORS: VECTORS}}
    spellings: Mapping[str, tuple[str, ...]] = {VECTORS: (f".{VECTORS}",)}
    settings: tuple[str, ...] = (VECTORS,)

    def tag(self, options: PromptTokensOptions) -> str:
        rate = options.learning_rate
        return f"tokens{options.num_tokens}" + (f"-lr{short_value(rate)}" if rate else "")

    def label(self, options: PromptTokensOptions) -> str:
        rate = options.learning_rate
        return f"{options.num_tokens} prompt tokens" + (f" at lr {short_value(rate)}" if rate else "")

    def count(self, layers: Mapping[str, tuple[int, ...]], options: PromptTokensOptions) -> int:
        return options.num_tokens * sum(width for _, width in layers.values())

    def word(self, options: PromptTokensOptions) -> str:
        return options.token

    def prefix(self, options: PromptTokensOptions) -> str:
        return f"{options.token} " if options.prepended else ""

    def attach(
        self,
        module: "nn.Module",
        component: str,
        layers: Mapping[str, PromptTokensOptions],
        training: TrainingConfig,
        seed: int,
        tokens: Callable[[str], Sequence[int]] | None = None,
    ) -> "dict[str, nn.Parameter]":
        from fashion_sweep.adapters import learned_tokens

        assert tokens, "prompt tokens need the model's tokenizers"
        ((layer, options),) = layers.items()
        return learned_tokens.attach(module, component, layer, options, seed, tokens)

    def rate(self, name: str, options: PromptTokensOptions, training: TrainingConfig) -> float:
        return (options.learning_rate or training.learning_rate) / training.learning_rate

    def detach(self, module: "nn.Module") -> None:
        from fashion_sweep.adapters import learned_tokens

        learned_tokens.detach(module)

    def collect(self, module: "nn.Module") -> tuple[Parts, dict[str, Any]]:
        from fashion_sweep.adapters import learned_tokens

        layer, embedding = learned_tokens.attached(module)
        vectors = embedding.vectors.detach().float().cpu().numpy()
        return {(layer, VECTORS): vectors}, {VECTORS: embedding.words.as_settings()}

    def check_shapes(
        self, layer: str, keys: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], weight: tuple[int, ...]
    ) -> None:
        shape = shapes.get(VECTORS, ())
        if len(shape) != 2 or not shape[0] or shape[1] != weight[1]:
            raise ConfigError(
                f"{keys[VECTORS]} has the shape {[*shape]}, for which a vocabulary of {weight} has no place"
            )

    def fuse(self, module: "nn.Module", layers: Mapping[str, LayerTensors], strength: float) -> Callable[[], None]:
        """Gives the module the tokens; they have no strength but 0, at which the words are what they were."""
        from fashion_sweep.adapters import learned_tokens

        if not strength:
            return lambda: None
        ((layer, tensors),) = layers.items()
        settings = tensors.settings.get(VECTORS)
        if settings is None:
            raise ConfigError(f"{layer} has {VECTORS}, and the file does not tell the word that stands for them")
        learned_tokens.put(module, layer, tensors.tensors[VECTORS], learned_tokens.Words.read(settings))
        return lambda: learned_tokens.detach(module)

    def sd_scripts_keys(self, options: PromptTokensOptions, training: TrainingConfig) -> dict[str, Any]:
        return {}


PROMPT_TOKENS = PromptTokens()
