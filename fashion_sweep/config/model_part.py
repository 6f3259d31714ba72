"""Parts of a base model that can carry an adapter: a placement of its architecture, or layers inside it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

GRAMMAR = re.compile(r"\w+(\.\w+(-\d{1,4})?)*(\+\w+(\.\w+(-\d{1,4})?)*)*")
EMBEDDINGS = ("token_embedding",)
"""The names of layers that are looked up by token, and carry no adapter but one that is for them."""
RANGE = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True)
class ModelPart:
    """A part of a base model, by the name that sweeps have for it.

    `unet` is a whole placement. `unet.up_blocks.0.attn2` are the layers inside it whose names have these words in this
    order, a number right behind the word before it; `text_encoder.layers.8-11` stands for four of them, and
    `unet.mid_block+up_blocks.0` for the layers of either.
    """

    name: str

    @property
    def placement(self) -> str:
        """The name of the placement that it is, or lies in."""
        return self.name.partition(".")[0]

    @property
    def inside(self) -> str:
        """Which layers of the placement it has; empty for all."""
        return self.name.partition(".")[2]

    @property
    def pieces(self) -> "tuple[ModelPart, ...]":
        """The parts that `+` puts together, or itself."""
        return tuple(ModelPart(f"{self.placement}.{one}") for one in self.inside.split("+")) if self.inside else (self,)

    @property
    def lasts(self) -> "tuple[ModelPart, ...]":
        """For each range of numbers in it, the part up to the range's last number alone."""
        words = self.name.split(".")
        found = [(place, RANGE.fullmatch(word)) for place, word in enumerate(words)]
        return tuple(ModelPart(".".join([*words[:place], bounds[2]])) for place, bounds in found if bounds)

    @property
    def is_well_formed(self) -> bool:
        """Whether the name says which layers are meant."""
        return bool(GRAMMAR.fullmatch(self.name)) and ("+" not in self.placement)

    @property
    def is_of_words(self) -> bool:
        """Whether it is an embedding of tokens, beside which the rest of a component may carry an adapter."""
        return self.inside.rpartition(".")[2] in EMBEDDINGS

    def has(self, layer: str) -> bool:
        """Whether a layer of the placement's components belongs to the part."""
        return bool(_pattern(self.inside).match(f"{layer}."))

    def title(self, placements: Mapping[str, Any]) -> str:
        """Returns its name for readers, for instance `UNet up_blocks.0`."""
        whole = placements[self.placement].title if self.placement in placements else self.placement
        return f"{whole} {self.inside}".rstrip()


@lru_cache
def _pattern(inside: str) -> re.Pattern[str]:
    """Returns what the names of layers, each with a dot behind it, begin with."""
    return re.compile("|".join("".join(map(_of_word, one.split("."))) for one in inside.split("+")) if inside else "")


def _of_word(word: str) -> str:
    if bounds := RANGE.fullmatch(word):
        return rf"(?:{'|'.join(map(str, range(int(bounds[1]), int(bounds[2]) + 1)))})\."
    return rf"{word}\." if word.isdecimal() else rf"(?:[^.]+\.)*?{word}\."
