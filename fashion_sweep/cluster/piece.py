"""Pieces of work for a lane: a trial, some shards of the cache, or a part of what another lane judges."""

from dataclasses import dataclass
from typing import Any, TypeAlias

FunctionName: TypeAlias = tuple[str, str]
"""The names of a module and of a function in it, so that only workers import what it needs: seconds for each."""


Looks: TypeAlias = tuple[tuple[str, int], ...]
"""By evaluation set how many images a trial is to be judged on."""


@dataclass(frozen=True)
class TrialPiece:
    """All that is left to do of a trial; the lane answers for it."""

    owner: str
    """Who asks for it."""
    function: FunctionName
    trial: str
    looks: Looks = ()
    """The looks that a trial which was judged is to be brought to; none: it is trained, and judged for the first."""


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

    piece: TrialPiece
    """The piece that the work is part of."""
    work: str
    """The name of the shared work."""

    @property
    def owner(self) -> str:
        return self.piece.owner


def to_judge(trial: str, looks: Looks, function: FunctionName) -> TrialPiece:
    """Returns the piece that brings a trial to looks of a race, which asks for it beside Tune."""
    return TrialPiece(f"{trial} {looks}", function, trial, looks)


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
