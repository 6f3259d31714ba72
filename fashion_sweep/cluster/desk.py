"""The desk of a run: an actor on the head node where Tune asks for trials, and lanes fetch them and report."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import ray

NAME = "desk"
WAIT_S = 10.0
"""How long a call waits for something to tell before it returns empty-handed, and is made anew."""


@dataclass
class Asked:
    """A trial that Tune has asked for and not taken back."""

    reports: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    """What Tune has not been told yet."""
    over: bool = False
    """Whether its last report has been made."""
    unheard_since: float | None = None
    """When the oldest report was made that Tune has not fetched; None where there is none."""


@dataclass
class LaneState:
    """What is known of a lane."""

    trial_id: str | None = None
    """Of the trial that it works on."""
    workers: dict[int, Any] = field(default_factory=dict)
    """Handles of its actors by rank."""
    signs: dict[int, float] = field(default_factory=dict)
    """When each was last heard of, by this actor's clock, while a trial is worked on."""
    since: float = 0.0
    """When it last changed from working to waiting."""


@dataclass(frozen=True)
class Standing:
    """How much there is to do."""

    waiting: int
    """Trials that no lane works on."""
    working: int
    """Lanes with a trial."""
    lanes: int
    """All that have arrived and not left."""


class Desk:
    """Its calls are coroutines of one loop, so nothing happens between two of their awaits."""

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}
        self._waiting: deque[str] = deque()
        self._lanes: dict[str, LaneState] = {}
        self._changed = asyncio.Event()
        self._closed = False

    async def ask(self, trial_id: str) -> None:
        """Has a trial carried out, unless that is going on: whoever asked before may have died."""
        if trial_id in self._asked:
            return
        self._asked[trial_id] = Asked()
        if trial_id not in self._at_work():
            self._put(trial_id)

    async def take_back(self, trial_id: str) -> None:
        """Ends a trial that is waited for no longer; a lane that works on it is told at its next step."""
        self._asked.pop(trial_id, None)
        if trial_id in self._waiting:
            self._waiting.remove(trial_id)

    async def next_report(self, trial_id: str) -> dict[str, Any] | None:
        """The next report of a trial, the last of which holds `done`; None when there was none for a while."""
        asked = self._asked[trial_id]
        try:
            report = await asyncio.wait_for(asked.reports.get(), WAIT_S)
        except TimeoutError:
            return None
        asked.unheard_since = None if asked.reports.empty() else time.monotonic()
        return report

    async def next_trial(self, lane: str, idle_s: float) -> str | None:
        """A trial to work on; empty when there was none for a while; None when the lane is to end.

        It ends when it has waited for `idle_s`, or nothing more will come.
        """
        state = self._lanes.setdefault(lane, LaneState(since=time.monotonic()))
        if state.trial_id is not None:
            state.trial_id, state.since = None, time.monotonic()
        state.signs.clear()
        deadline = time.monotonic() + WAIT_S
        while not self._waiting:
            left = min(deadline, state.since + idle_s) - time.monotonic()
            if self._closed or time.monotonic() - state.since >= idle_s:
                return None
            if left <= 0:
                return ""
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except TimeoutError:
                continue
        state.trial_id = self._waiting.popleft()
        return state.trial_id

    async def report(self, lane: str, values: dict[str, Any]) -> None:
        """Takes the values of a step of the trial that a lane works on."""
        asked = self._asked.get(self._lanes[lane].trial_id or "")
        if asked and not asked.over:
            self._tell(asked, values)

    async def is_wanted(self, lane: str) -> bool:
        """Whether Tune still waits for the trial that a lane works on."""
        return self._lanes[lane].trial_id in self._asked

    async def sign(self, lane: str, rank: int, worker: Any) -> None:
        """Takes a sign of life of one of a lane's workers."""
        state = self._lanes.setdefault(lane, LaneState(since=time.monotonic()))
        state.workers[rank], state.signs[rank] = worker, time.monotonic()

    async def standing(self) -> Standing:
        """How much there is to do."""
        return Standing(len(self._waiting), len(self._at_work()), len(self._lanes))

    async def silent(self, patience_s: float) -> list[tuple[str, str, list[Any]]]:
        """Returns the lanes of which no worker gave a sign of life for so long: each with its trial and its workers.

        A worker that waits for another one is silent, and does not hang.
        """
        now = time.monotonic()
        return [
            (name, state.trial_id, list(state.workers.values()))
            for name, state in self._lanes.items()
            if state.trial_id and state.signs and all(now - last > patience_s for last in state.signs.values())
        ]

    async def unheard(self, patience_s: float) -> list[str]:
        """Returns the trials of which Tune has not fetched a report for so long."""
        now = time.monotonic()
        return [
            name
            for name, asked in self._asked.items()
            if asked.unheard_since is not None and now - asked.unheard_since > patience_s
        ]

    async def leave(self, lane: str) -> str | None:
        """Forgets a lane that has ended; the trial that it worked on."""
        state = self._lanes.pop(lane, None)
        return state.trial_id if state else None

    async def try_again(self, trial_id: str) -> None:
        """Puts a trial first in the queue, whose lane has ended, if it is still wanted."""
        if trial_id in self._asked and not self._asked[trial_id].over:
            self._put(trial_id, first=True)

    async def give_up(self, trial_id: str, error: str) -> None:
        """Ends a trial without result."""
        if (asked := self._asked.get(trial_id)) and not asked.over:
            self._tell(asked, {"step": 0, "error": error, "done": True})

    async def close(self) -> None:
        """Lets lanes end as soon as they have nothing to do."""
        self._closed = True
        self._changed.set()

    def _put(self, trial_id: str, first: bool = False) -> None:
        self._waiting.appendleft(trial_id) if first else self._waiting.append(trial_id)
        self._changed.set()

    def _tell(self, asked: Asked, values: dict[str, Any]) -> None:
        asked.over = bool(values.get("done"))
        asked.unheard_since = asked.unheard_since or time.monotonic()
        asked.reports.put_nowait(values)

    def _at_work(self) -> set[str]:
        return {state.trial_id for state in self._lanes.values() if state.trial_id}


def open_desk() -> Any:
    """Starts the desk on this node, the head; a handle of the actor."""
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    actor = ray.remote(num_cpus=0, max_concurrency=10_000)(Desk)
    return actor.options(label_selector=here).remote()
