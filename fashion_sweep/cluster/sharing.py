"""Work of a trial that all lanes may take part in, in chunks: each is given out until somebody has finished it."""

from collections import deque
from dataclasses import dataclass, field

from fashion_sweep.cluster.piece import Chunk, HelpPiece


@dataclass
class Sharing:
    """The chunks of one piece of work, which one lane leads."""

    leader: str
    count: int
    help: HelpPiece
    """What a lane that helps is given."""
    refused: bool = False
    """Whether a lane has failed at it, so that no other helps."""
    _waiting: deque[int] = field(default_factory=deque)
    _taken: dict[str, int] = field(default_factory=dict)
    _finished: int = 0

    def __post_init__(self) -> None:
        self._waiting.extend(range(self.count))

    @property
    def wants_help(self) -> bool:
        """Whether another lane could do something."""
        return bool(self._waiting) and not self.refused

    def finish(self, lane: str) -> None:
        """Notes that a lane has finished the chunk that it was given, if it was given one."""
        self._finished += self._taken.pop(lane, None) is not None

    def drop(self, lane: str) -> None:
        """Takes the chunk of a lane that has ended back."""
        if (number := self._taken.pop(lane, None)) is not None:
            self._waiting.appendleft(number)

    def take(self, lane: str) -> Chunk:
        """Gives a lane a chunk, where one waits."""
        if not self._waiting:
            return Chunk(None, self._finished, is_over=not self._taken)
        self._taken[lane] = number = self._waiting.popleft()
        return Chunk(number, self._finished)
