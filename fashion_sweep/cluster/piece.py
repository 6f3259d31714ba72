"""A piece of work for a lane: a trial, some shards of the cache, or a share of what another lane judges."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Piece:
    """What a lane does in one go."""

    owner: str
    """Who has asked for it: the trial, or a call for shards."""
    shards: tuple[tuple[int, Any], ...] = ()
    """The shards with their numbers; empty for a trial."""
    function: Any = None
    """The function of a shard; of a trial the names of module and function, so that only workers import what it
    needs: seconds for each process."""
    helps: str | None = None
    """The name of the shared work that another lane leads; None where this lane does all there is to do."""

    @property
    def is_trial(self) -> bool:
        """Whether the lane answers for a trial."""
        return not self.shards and self.helps is None


@dataclass(frozen=True)
class Chunk:
    """What a lane is given of shared work."""

    number: int | None
    """None where there is none, at present or for good."""
    finished: int = 0
    """How many chunks were finished by then, by all lanes."""
    is_over: bool = False
    """Whether there will be no other for this lane."""
