"""What a lane's worker tells the desk while it works on a trial, and asks it."""

import faulthandler
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayError

from fashion_sweep.cluster.lane import Group, Lane
from fashion_sweep.cluster.piece import Chunk, Looks
from fashion_sweep.cluster.worker import Withdrawn, Worker

SIGNS = 50
"""How often within the patience that it has a worker gives signs of life."""
ASK_EVERY_S = 0.2
"""How often it is asked whether a trial is still wanted."""


class Watch:
    """Tells the desk that a worker is alive, and asks it what is still to be done."""

    def __init__(self, lane: Lane, group: Group, looks: Looks = (), helps: str | None = None) -> None:
        self.leaves = False
        """Whether the trial is left before it is over."""
        self.withdrawn = False
        """Whether it is wanted no more; else it goes on later."""
        self._lane, self._group, self._looks, self._helps = lane, group, looks, helps
        self._patience_s = lane.resources.stall_minutes * 60
        self._actor = ray.get_runtime_context().current_actor
        self._signed = self._asked_at = float("-inf")
        self._question: Any = None

    def worker(self, device: str) -> Worker:
        """Returns what the function of a trial is told of its process."""
        return Worker(
            rank=self._group.rank,
            world_size=self._group.size,
            device=device,
            alive=self.alive,
            report=self._report,
            check=self._check,
            makes_way=self._makes_way,
            shared=self._shared,
            looks=dict(self._looks),
            helps=self._helps,
            stays=True,
        )

    def alive(self) -> None:
        """Gives a sign of life; should no other follow, the log gets to know where the worker hangs."""
        faulthandler.dump_traceback_later(0.9 * self._patience_s, file=sys.stderr)
        if time.monotonic() - self._signed > self._patience_s / SIGNS:
            self._signed = time.monotonic()
            self._lane.desk.sign.remote(self._lane.name, self._group.rank, self._actor)

    def _report(self, values: dict[str, float]) -> None:
        """Rank 0's values go to Tune.

        Raises:
            Withdrawn: it waits for them no longer.
        """
        assert "step" in values
        if self._group.rank == 0:
            ray.get(self._lane.desk.report.remote(self._lane.name, dict(values)))
        self._check()

    def _check(self) -> None:
        """Raises Withdrawn, on all ranks, where the trial is not wanted any more."""
        if not self._group.agreed(self._is_wanted):
            raise Withdrawn

    def _is_wanted(self) -> bool:
        """As far as it is known without waiting."""
        if self._question is None and time.monotonic() - self._asked_at > ASK_EVERY_S:
            self._question, self._asked_at = self._lane.desk.is_wanted.remote(self._lane.name), time.monotonic()
        if self._question is not None and ray.wait([self._question], timeout=0)[0]:
            question, self._question = self._question, None
            with suppress(RayError):
                return bool(ray.get(question))
        return True

    def _makes_way(self) -> bool:
        self.leaves = self._group.agreed(lambda: bool(ray.get(self._lane.desk.others_wait.remote())))
        return self.leaves

    def _shared(self, name: str, count: int) -> Iterator[tuple[int, int]]:
        """Gives the chunks that are for this lane, each once its last one is finished.

        Raises:
            Withdrawn: the trial was taken back meanwhile.
        """
        desk, lane = self._lane.desk, self._lane.name
        if self._group.rank == 0 and self._helps is None:
            ray.get(desk.share.remote(lane, name, count))
        while True:
            self._group.meet()
            chunk: Chunk = self._group.agreed(lambda: ray.get(desk.next_chunk.remote(lane, name)))
            self.alive()
            if chunk.is_lost:
                raise Withdrawn
            if chunk.number is not None:
                yield chunk.number, chunk.finished
            elif chunk.is_over:
                return
