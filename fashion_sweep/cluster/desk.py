"""The desk of a run: an actor on the head node where work is asked for, and lanes fetch it and report."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import ray

from fashion_sweep.cluster.piece import Chunk, HelpPiece, Piece, TrialPiece
from fashion_sweep.cluster.sharing import Sharing
from fashion_sweep.cluster.standing import Asked, LaneState, Standing

WAIT_S = 10.0
"""How long a call waits for something to tell before it returns empty-handed, and is made anew."""


class Desk:
    """Its calls are coroutines of one loop, so nothing happens between two of their awaits."""

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}
        self._waiting: deque[Piece] = deque()
        self._behind: deque[TrialPiece] = deque()
        """Trials that have made way for others, and those that are judged further."""
        self._shared: dict[tuple[str, str], Sharing] = {}
        self._lanes: dict[str, LaneState] = {}
        self._gone: set[str] = set()
        """Lanes that have ended; one that is asked for work by a call that has outlived it is given none."""
        self._ended: dict[str, float] = {}
        """When lanes were told to end that have not done so yet."""
        self._sleepers: set[asyncio.Future[None]] = set()
        self._closed = False

    async def ask(self, owner: str, pieces: Sequence[Piece]) -> None:
        """Has the pieces of an owner carried out, unless that is going on: whoever asked before may have died."""
        if owner in self._asked:
            self._asked[owner].hear(0)
            return
        self._asked[owner] = Asked()
        if not self._is_known(owner):
            for piece in pieces:
                self._queue_of(piece).append(piece)
            self._wake()

    async def take_back(self, owner: str) -> None:
        """Ends what is waited for no longer; a lane that works on it is told at its next step."""
        self._asked.pop(owner, None)
        self._forget_shared(owner)
        self._waiting = deque(piece for piece in self._waiting if piece.owner != owner)
        self._behind = deque(piece for piece in self._behind if piece.owner != owner)

    async def next_report(self, owner: str, heard: int) -> dict[str, Any] | None:
        """The report after the first `heard`; a trial's last one holds `done`. None when there was none for a while.

        Whoever asks says how many have arrived: none is lost with a process that has died.
        """
        asked, deadline = self._asked[owner], time.monotonic() + WAIT_S
        asked.hear(heard)
        while len(asked.reports) <= heard:
            if time.monotonic() >= deadline:
                return None
            await self._change(deadline - time.monotonic())
        return asked.reports[heard]

    async def next_piece(self, lane: str, idle_s: float) -> Piece | str | None:
        """A piece to work on; empty when there was none for a while; None when the lane is to end.

        It ends when it has waited for `idle_s`, or nothing more will come.
        """
        state = self._lanes.setdefault(lane, LaneState(since=time.monotonic()))
        if not state.has_asked:
            state.has_asked, state.since = True, time.monotonic()
        if state.piece is not None:
            self._ask_for_the_rest(state.piece)
            state.piece, state.since = None, time.monotonic()
        deadline = time.monotonic() + WAIT_S
        while lane not in self._gone and (piece := self._next()) is None:
            left = min(deadline, state.since + idle_s) - time.monotonic()
            if self._closed or time.monotonic() - state.since >= idle_s:
                self._ended[lane] = time.monotonic()
                return None
            if left <= 0:
                return ""
            await self._change(left)
        if lane in self._gone:  # while it waited
            self._lanes.pop(lane, None)
            return None
        state.piece, state.signs = piece, dict.fromkeys(state.workers, time.monotonic())
        return piece

    async def report(self, lane: str, values: dict[str, Any]) -> None:
        """Takes the values of a step of the trial that a lane works on, or the result of a shard."""
        piece = self._lanes[lane].piece
        asked = self._asked.get(piece.owner) if piece else None
        if asked:
            asked.tell(values)
            self._wake()

    async def is_wanted(self, lane: str) -> bool:
        """Whether what a lane works on is still waited for."""
        piece = self._lanes[lane].piece
        return piece is not None and piece.owner in self._asked

    async def others_wait(self) -> bool:
        """Whether there are trials that were not begun, for which one that is trained makes way."""
        return bool(self._waiting)

    async def put_behind(self, lane: str) -> None:
        """Has a lane's trial go on, in whichever lane, once no other waits to be begun."""
        state = self._lanes[lane]
        if isinstance(state.piece, TrialPiece) and state.piece.owner in self._asked:
            self._behind.append(state.piece)
            state.piece = None
            self._wake()

    async def share(self, lane: str, name: str, count: int) -> None:
        """Offers work of a lane's trial to all lanes, in so many chunks."""
        piece = self._lanes[lane].piece
        assert isinstance(piece, TrialPiece)
        self._shared[piece.owner, name] = Sharing(lane, count, HelpPiece(piece, name))
        self._wake()

    async def next_chunk(self, lane: str, name: str) -> Chunk:
        """Takes note that a lane has finished its chunk, and gives it another one.

        The lane that leads is given none at times, and asks again, until all chunks are finished; others leave when
        there is none for them.
        """
        piece, deadline = self._lanes[lane].piece, time.monotonic() + WAIT_S
        sharing = self._shared.get((piece.owner, name)) if piece else None
        if sharing is None:
            return Chunk(None, is_over=True, is_lost=isinstance(piece, TrialPiece))
        sharing.finish(lane)
        self._wake()
        if sharing.leader != lane:
            return Chunk(None, is_over=True) if self._waiting or not sharing.wants_help else sharing.take(lane)
        while (chunk := sharing.take(lane)).number is None and not chunk.is_over and time.monotonic() < deadline:
            await self._change(deadline - time.monotonic())
        return chunk

    async def sign(self, lane: str, rank: int, worker: Any) -> None:
        """Takes a sign of life of one of a lane's workers."""
        if lane not in self._gone:
            state = self._lanes.setdefault(lane, LaneState(since=time.monotonic()))
            state.workers[rank], state.signs[rank] = worker, time.monotonic()

    async def standing(self, patience_s: float) -> Standing:
        """How things stand; `patience_s`: for which workers and owners may be silent."""
        now = time.monotonic()
        chunks = sum(sharing.wants_help for sharing in self._shared.values())
        return Standing(
            wanted=len(self._waiting) + len(self._behind) + len(self._at_work()) + chunks,
            arrived=frozenset(name for name, state in self._lanes.items() if state.has_asked),
            lingering=[name for name, since in self._ended.items() if now - since > patience_s],
            silent=[
                (name, state.piece, list(state.workers.values()))
                for name, state in self._lanes.items()
                if (state.piece or not state.has_asked)
                and state.signs
                and all(now - last > patience_s for last in state.signs.values())
            ],
            unheard=[
                name
                for name, asked in self._asked.items()
                if asked.unheard_since is not None and now - asked.unheard_since > patience_s
            ],
        )

    async def leave(self, lane: str) -> tuple[bool, Piece | None]:
        """Forgets a lane that has ended; whether it ever asked for work, and the piece that it worked on."""
        self._gone.add(lane)
        self._ended.pop(lane, None)
        state = self._lanes.pop(lane, None)
        piece = state.piece if state else None
        for sharing in self._shared.values():
            sharing.drop(lane)
        match piece:
            case TrialPiece():
                self._forget_shared(piece.owner)
            case HelpPiece() if helped := self._shared.get((piece.owner, piece.work)):
                helped.refused = True
        self._wake()
        return bool(state and state.has_asked), piece

    async def try_again(self, piece: Piece) -> None:
        """Puts a piece first in the queue, whose lane has ended, if it is still wanted, and was not asked for anew."""
        asked = self._asked.get(piece.owner)
        if asked and not asked.over and not (isinstance(piece, TrialPiece) and self._is_known(piece.owner)):
            self._queue_of(piece).appendleft(piece)
            self._wake()

    async def tell(self, owner: str, values: dict[str, Any]) -> None:
        """Reports to an owner what no lane can."""
        if asked := self._asked.get(owner):
            asked.tell(values)
            self._wake()

    async def close(self) -> None:
        """Lets lanes end as soon as they have nothing to do."""
        self._closed = True
        self._wake()

    def _next(self) -> Piece | None:
        """What there is to do: trials that are to be trained first, so that the last of them is soon on its way."""
        if self._waiting or self._behind:
            return (self._waiting or self._behind).popleft()
        return next((sharing.help for sharing in self._shared.values() if sharing.wants_help), None)

    async def _change(self, seconds: float) -> None:
        """Waits until something has changed, at most so long. An `asyncio.Event` that one clears is lost for others."""
        sleeper = asyncio.get_running_loop().create_future()
        self._sleepers.add(sleeper)
        await asyncio.wait([sleeper], timeout=max(seconds, 0.0))
        self._sleepers.discard(sleeper)

    def _wake(self) -> None:
        for sleeper in self._sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    def _is_known(self, owner: str) -> bool:
        """Whether pieces of an owner wait or are worked on."""
        at_work = [piece for piece in self._at_work() if not isinstance(piece, HelpPiece)]
        return any(piece.owner == owner for piece in (*self._waiting, *self._behind, *at_work))

    def _ask_for_the_rest(self, piece: Piece) -> None:
        """Has a trial go on that a lane has left though it is wanted: it was asked for again in the meantime."""
        asked = self._asked.get(piece.owner)
        if isinstance(piece, TrialPiece) and asked and not asked.over:
            self._queue_of(piece).append(piece)

    def _queue_of(self, piece: Piece) -> deque[Any]:
        """Where a piece waits: trainings, and what comes before them, go first; those who are judged further follow."""
        return self._behind if isinstance(piece, TrialPiece) and piece.looks else self._waiting

    def _forget_shared(self, owner: str) -> None:
        self._shared = {key: sharing for key, sharing in self._shared.items() if key[0] != owner}

    def _at_work(self) -> list[Piece]:
        return [state.piece for state in self._lanes.values() if state.piece]


def open_desk() -> Any:
    """Starts the desk on this node, the head; a handle of the actor."""
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    actor = ray.remote(num_cpus=0, max_concurrency=10_000)(Desk)
    return actor.options(label_selector=here).remote()
