"""Learned tokens in CLIP's text encoders: puts their numbers in the place of a word, and their vectors behind them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fashion_sweep.adapters.words import set_apart
from fashion_sweep.errors import ConfigError
from fashion_sweep.rng import numpy_generator


@dataclass(frozen=True)
class Words:
    """How a word in rows of token numbers becomes the numbers of learned tokens, which come after the vocabulary's."""

    token: str
    """The word as prompts have it."""
    placeholder: tuple[int, ...]
    """The numbers of the word's own tokens."""
    end: int
    padding: int
    prepended: bool

    @classmethod
    def of(cls, token: str, prepended: bool, tokens: Callable[[str], Sequence[int]]) -> "Words":
        """Reads the numbers off a tokenizer, of which `tokens` gives the padded row of a text.

        Raises:
            ConfigError: the word has no numbers.
        """
        empty = tokens("")
        placeholder = _inside(tokens(token), empty[1])
        if not placeholder:
            raise ConfigError(f"{token!r} is no word to the tokenizer")
        return cls(token, placeholder, empty[1], empty[-1], prepended)

    @classmethod
    def read(cls, settings: Mapping[str, Any]) -> "Words":
        """Reads what `as_settings` has written.

        Raises:
            ConfigError: it is something else.
        """
        try:
            words = cls(**{**settings, "placeholder": tuple(settings["placeholder"])})
        except (TypeError, KeyError):
            raise ConfigError("its prompt_tokens have settings that do not fit") from None
        numbers = (*words.placeholder, words.end, words.padding)
        if not words.placeholder or any(type(number) is not int or number < 0 for number in numbers):
            raise ConfigError("its prompt_tokens have settings that do not fit")
        return words

    def as_settings(self) -> dict[str, Any]:
        """Returns the fields as JSON has them."""
        return asdict(self) | {"placeholder": list(self.placeholder)}

    def replaced(self, ids: Tensor, first: int, count: int) -> Tensor:
        """Puts `count` numbers from `first` on in the place of the word, wherever rows N,L of token numbers have it."""
        rows = [self._row(row, [*range(first, first + count)]) for row in ids.tolist()]
        return torch.tensor(rows, dtype=ids.dtype, device=ids.device)

    def _row(self, row: list[int], learned: list[int]) -> list[int]:
        words, made, at = list(_inside(row, self.end)), list[int](), 0
        size = len(self.placeholder)
        while at < len(words):
            is_here = tuple(words[at : at + size]) == self.placeholder
            made += learned if is_here else words[at : at + 1]
            at += size if is_here else 1
        kept = [row[0], *made][: len(row) - 1] + [self.end]
        return kept + [self.padding] * (len(row) - len(kept))


def _inside(row: Sequence[int], end: int) -> tuple[int, ...]:
    """Returns a row without its start, its end and what pads it."""
    return tuple(row[1 : list(row).index(end, 1)])


class LearnedTokens(nn.Module):
    """An embedding of token numbers with learned vectors behind those of its vocabulary."""

    def __init__(self, base: nn.Embedding, vectors: Tensor, words: Words) -> None:
        super().__init__()
        self.base, self.words = base, words
        self.vectors = nn.Parameter(vectors.to(base.weight.device, torch.float32))
        self.hook: Any = None

    @property
    def weight(self) -> Tensor:
        """The vectors of the vocabulary."""
        return self.base.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Takes token numbers N,L, and returns vectors N,L,width."""
        size = self.base.num_embeddings
        own = self.base(ids.clamp(max=size - 1))
        learned = functional.embedding((ids - size).clamp(min=0), self.vectors).to(own.dtype)
        return torch.where((ids >= size)[..., None], learned, own)


def attach(
    module: nn.Module,
    component: str,
    layer: str,
    options: Any,
    seed: int,
    tokens: Callable[[str], Sequence[int]],
) -> dict[str, nn.Parameter]:
    """Adds trainable tokens to a text encoder, and returns their parameter by name.

    options: a `prompt_tokens.PromptTokensOptions`.

    Raises:
        ConfigError: a word of the options has no tokens.
    """
    words = Words.of(options.token, options.prepended, tokens)
    base: Any = module.get_submodule(layer)
    if options.initial_words:
        rows = _inside(tokens(options.initial_words), words.end)
    else:
        draw = numpy_generator(seed, "prompt_tokens/init", component)
        rows = tuple(draw.choice(base.num_embeddings, options.num_tokens, replace=False).tolist())
    if not rows:
        raise ConfigError(f"prompt_tokens: {options.initial_words!r} are no words to the tokenizer of {component}")
    start = torch.stack([base.weight.detach()[rows[i % len(rows)]] for i in range(options.num_tokens)])
    made = put(module, layer, start, words)
    return {f"{component}.{layer}.vectors": made.vectors}


def put(module: nn.Module, layer: str, vectors: Tensor, words: Words) -> LearnedTokens:
    """Wraps the embedding of a text encoder, which from then on reads the word as these vectors n,width."""
    parent, _, own = layer.rpartition(".")
    base: Any = module.get_submodule(layer)
    made = LearnedTokens(base, vectors, words)
    setattr(module.get_submodule(parent), own, made)

    def replace(text_encoder: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        expanded = words.replaced(ids, base.num_embeddings, len(vectors))
        return ((), {**kwargs, "input_ids": expanded}) if "input_ids" in kwargs else ((expanded, *args[1:]), kwargs)

    made.hook = module.register_forward_pre_hook(replace, with_kwargs=True)
    return made


def attached(module: nn.Module) -> tuple[str, LearnedTokens]:
    """Returns the embedding that `put` has wrapped, with its name."""
    return next(_wrapped(module))


def readable(module: nn.Module, texts: Sequence[str]) -> list[str]:
    """Returns texts as the tokenizer of a text encoder must get them, so that the word of its tokens is found."""
    if not (found := next(_wrapped(module), None)):
        return list(texts)
    return [set_apart(text, found[1].words.token) for text in texts]


def _wrapped(module: nn.Module) -> Iterator[tuple[str, LearnedTokens]]:
    return ((name, layer) for name, layer in module.named_modules() if isinstance(layer, LearnedTokens))


def detach(module: nn.Module) -> None:
    """Puts the embedding back in its place."""
    layer, made = attached(module)
    made.hook.remove()
    parent, _, own = layer.rpartition(".")
    setattr(module.get_submodule(parent), own, made.base)
