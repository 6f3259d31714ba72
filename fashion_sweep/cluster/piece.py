"""Pieces of work for a lane: a trial, some shards of the cache, or a part of what another lane judges."""

from dataclasses import dataclass
from typing import Any, TypeAlias

FunctionName: TypeAlias = tuple[str, str]
"""The names of a module and of a function in it, so that only workers import what it needs: seconds for each."""


@dataclass(frozen=True)
class TrialPiece:
    """All that is left to do of a trial; the lane answers for it."""

    owner: str
    """The trial, which asks for it."""
    function: FunctionName


@dataclass(frozen=True)
class ShardsPiece:
    """Some shards, one for each worker of a lane."""

    owner: str
    """The call that asks for them."""
    function: Any
    numbered: tuple[tuple[int, Any], ...]
    """The shards with their numbers."""


@dataclass(frozen=True)
class HelpPiece:
    """A part, in chunks, of the shared work that another lane leads."""

    owner: str
    """The trial that the work is part of."""
    function: FunctionName
    work: str
    """The name of the shared work."""


Piece: TypeAlias = TrialPiece | ShardsPiece | HelpPiece
"""What a lane does in one go."""


@dataclass(frozen=True)
class Chunk:
    """What a lane is given of shared work."""

    number: int | None
    """None where there is none, at present or for good."""
    finished: int = 0
    """How many chunks were finished by then, by all lanes."""
    is_over: bool = False
    """Whether there will be no other for this lane."""
    is_lost: bool = False
    """Whether the work was taken back, finished or not."""
