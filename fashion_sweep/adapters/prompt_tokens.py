"""Prompt tokens: learned embeddings of words that no prompt could say. Imports torch only when it is used.

Sources: Lester et al., prompt tuning (2021), https://arxiv.org/abs/2104.08691; Gal et al., textual inversion (2022),
https://arxiv.org/abs/2208.01618.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

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
LONGEST_WORD = 24
"""The most characters that words have in an id."""


class PromptTokensOptions(AdapterOptions):
    """The options of prompt tokens in a sweep."""

    names: ClassVar[Mapping[str, str]] = {
        "learning_rate": "lr",
        "initial_words": "from",
        "token": "word",
        "prepended": "prepended",
    }

    num_tokens: int = Field(ge=1, le=64)
    """The number of tokens in each text encoder."""
    initial_words: str | None = Field(None, min_length=1)
    """The words whose embeddings they start as, repeated as needed; null: words drawn from the vocabulary."""
    learning_rate: PositiveFloat | None = None
    """The learning rate; null: that of the trial."""
    token: str = Field("<fashion>", pattern=r"^\S+$", max_length=40)
    """The word that stands for them in prompts."""
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
        others = [f"{options.names[name]}{_in_ids(value)}" for name, value in options.others.items()]
        return "-".join([f"tokens{options.num_tokens}", *others])

    def label(self, options: PromptTokensOptions) -> str:
        others = [_worded(options.names[name], value) for name, value in options.others.items()]
        return ", ".join([f"{options.num_tokens} prompt tokens", *others])

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

    def has_own_rate(self, options: PromptTokensOptions, training: TrainingConfig) -> bool:
        return options.learning_rate not in (None, training.learning_rate)

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


def _in_ids(value: Any) -> str:
    """Returns a value as an id can have it: words by their letters, and where that is not all, by a digest too."""
    if not isinstance(value, str):
        return "no" if value is False else short_value(value)
    letters = re.sub(r"\W+", "_", value).strip("_")[:LONGEST_WORD]
    return letters if letters == value else f"{letters}_{hashlib.blake2b(value.encode(), digest_size=3).hexdigest()}"


def _worded(name: str, value: Any) -> str:
    """Returns an option as readers see it."""
    if value is False:
        return "where captions have their word"
    return f"{name} “{value}”" if isinstance(value, str) else f"{name} {short_value(value)}"


PROMPT_TOKENS = PromptTokens()
