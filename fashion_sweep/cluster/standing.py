"""What the desk knows of those who ask for work, of lanes, and of how things stand in all."""

import time
from dataclasses import dataclass, field
from typing import Any

from fashion_sweep.cluster.piece import Piece


@dataclass
class Asked:
    """What somebody has asked for and not taken back."""

    reports: list[dict[str, Any]] = field(default_factory=list)
    over: bool = False
    """Whether the last report has been made."""
    unheard_since: float | None = None
    """Since when there are reports that nobody has asked for; None where there are none."""

    def tell(self, values: dict[str, Any]) -> None:
        """Adds a report; none after the last."""
        if not self.over:
            self.over = bool(values.get("done"))
            self.unheard_since = self.unheard_since or time.monotonic()
            self.reports.append(values)

    def hear(self, heard: int) -> None:
        """Notes that so many reports have arrived; whoever asks for the next one does not stand still."""
        self.unheard_since = None if heard >= len(self.reports) else time.monotonic()


@dataclass
class LaneState:
    """What is known of a lane."""

    piece: Piece | None = None
    workers: dict[int, Any] = field(default_factory=dict)
    """Handles of its actors by rank."""
    signs: dict[int, float] = field(default_factory=dict)
    """When each was last heard of since the piece was given out, by this actor's clock."""
    has_asked: bool = False
    """Whether it has asked for work; before that it starts."""
    since: float = 0.0
    """When it last changed from working to waiting."""


@dataclass(frozen=True)
class Standing:
    """How much there is to do, and who has not been heard of for too long."""

    wanted: int
    """Lanes that would all have something to do."""
    arrived: frozenset[str]
    """The lanes that have asked for work and not left."""
    silent: list[tuple[str, Piece | None, list[Any]]]
    """The lanes at work, or at their start, of which no worker gives a sign of life, with their pieces and workers. A
    worker that waits for another one is silent, and does not hang."""
    lingering: list[str]
    """The lanes that have ended, and whose controllers have not for too long."""
    unheard: list[str]
    """The owners who do not fetch their reports."""
