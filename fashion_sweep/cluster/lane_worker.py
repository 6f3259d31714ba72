"""What the workers of a lane do: one piece of work after another, as long as there are any."""

import faulthandler
import importlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import ray
import ray.train
from ray.exceptions import RayError

from fashion_sweep.cluster.failures import class_of_failure
from fashion_sweep.cluster.logs import log_of, one_line, worker_output_to
from fashion_sweep.cluster.piece import Chunk, Piece
from fashion_sweep.cluster.worker import Withdrawn, Worker
from fashion_sweep.config.preset import Resources
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.retries import Attempts, clear_away
from fashion_sweep.run.stage_inputs import fetch_for_trial, fetch_standing
from fashion_sweep.run.status import Status
from fashion_sweep.storage import remote
from fashion_sweep.storage.sync import appended

T = TypeVar("T")
PATIENCE_S = 24 * 3600
"""For which a worker waits for the others, who may be judging thousands of images; one that dies is known at once."""
SIGNS = 50
"""How often within the patience that it has a worker gives signs of life."""
ASK_EVERY_S = 0.2
"""How often it is asked whether a trial is still wanted."""
IDLE_S = 30.0
"""For which a lane waits for work before it gives back what it holds."""


@dataclass(frozen=True)
class Lane:
    """What each worker of a lane is started with."""

    name: str
    run: RunPaths
    resources: Resources
    desk: Any
    """Handle of the actor."""
    imports: str | None = None
    """The module that its workers import before there is anything to do."""


def work_in_lane(lane: Lane) -> None:
    """Is the body of a worker's process: works for the desk until it has had nothing to do for a while."""
    context = ray.train.get_context()
    group = _Group(context.get_world_rank(), context.get_world_size())
    group.prepare()
    if lane.imports:
        importlib.import_module(lane.imports)
    while (piece := group.agreed(partial(_next_piece, lane))) is not None:
        if piece.shards:
            _make_shards(lane, piece, group)
        elif piece.helps:
            _help(lane, piece, group)
        elif group.agreed(partial(_may_begin, lane, piece.owner)):
            _carry_out(lane, piece, group)


@dataclass(frozen=True)
class _Group:
    """This worker among those of its lane."""

    rank: int
    size: int

    def prepare(self) -> None:
        """Gives the workers patience with each other, and torch the GPU of this one."""
        import torch
        from ray.train.torch import get_device

        if self.size > 1:
            torch.distributed.set_timeout(timedelta(seconds=PATIENCE_S), torch.distributed.group.WORLD)
        if (device := get_device()).type == "cuda":
            torch.cuda.set_device(device)

    def agreed(self, find: Callable[[], T]) -> T:
        """What rank 0 finds, on every rank."""
        found: list[Any] = [find() if self.rank == 0 else None]
        if self.size > 1:
            from torch import distributed

            distributed.broadcast_object_list(found, src=0)
        return found[0]

    def meet(self) -> None:
        """Waits for the others."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()


def _next_piece(lane: Lane) -> Piece | None:
    piece: Piece | str | None = ""
    while piece == "":
        piece = ray.get(lane.desk.next_piece.remote(lane.name, IDLE_S))
    assert not isinstance(piece, str)
    return piece


def _make_shards(lane: Lane, piece: Piece, group: _Group) -> None:
    """Makes this worker's share of the shards; what one raises is for whoever has asked for them."""
    watch = _Watch(lane, group)
    watch.alive()
    for number, shard in piece.shards[group.rank :: group.size]:
        try:
            made = {"result": piece.function(shard, watch.alive)}
        except Exception as error:
            logging.getLogger(__name__).exception("a shard failed")
            made = {"error": error}
        ray.get(lane.desk.report.remote(lane.name, {"number": number} | made))
    faulthandler.cancel_dump_traceback_later()
    group.meet()


def _may_begin(lane: Lane, trial_id: str) -> bool:
    """Notes that an attempt begins; False where the trial is over, or has failed too often."""
    paths = lane.run.trial(trial_id)
    fetch_standing(paths)
    if paths.result.is_file():  # it was over when its last lane died
        _end(lane, trial_id)
        return False
    attempts = Attempts(paths)
    if not attempts.begin(lane.resources.max_failures):
        last = {"step": 0, "error": attempts.last_error or "unknown error", "done": True}
        ray.get(lane.desk.report.remote(lane.name, last))
        return False
    Status(paths).start()
    return True


def _carry_out(lane: Lane, piece: Piece, group: _Group) -> None:
    """Does what there is to do for a trial, or as much of it as is done before it makes way for another one."""
    trial_id, watch = piece.owner, _Watch(lane, group)
    paths = lane.run.trial(trial_id)
    watch.alive()
    fetch_for_trial(lane.run, paths)
    if remote.current() and group.size > 1:  # what one has kept of an attempt that was cut short is for all
        group.meet()
        fetch_for_trial(lane.run, paths)
    log = log_of(paths, group.rank)
    worker_output_to(log, group.rank)
    watch.alive()  # again, for now there is a log
    Status(paths, writes=group.rank == 0).arrive()
    with appended(log):
        try:
            _work(lane, piece, watch)
        except Withdrawn:
            logging.getLogger(__name__).info("%s is stopped", trial_id)
            watch.leaves = watch.withdrawn = True
        finally:
            faulthandler.cancel_dump_traceback_later()
    if group.rank != 0:
        return
    if not watch.leaves:
        _end(lane, trial_id)
        return
    Attempts(paths).succeed()
    if not watch.withdrawn:
        Status(paths).queue()
        ray.get(lane.desk.put_behind.remote(lane.name))


def _help(lane: Lane, piece: Piece, group: _Group) -> None:
    """Takes part in what another lane leads; what it has to say is in a log of its own."""
    watch = _Watch(lane, group, piece.helps)
    watch.alive()
    log = log_of(lane.run.trial(piece.owner), group.rank)
    log = log.with_stem(f"{log.stem}-{lane.name}")
    worker_output_to(log, group.rank)
    watch.alive()
    with appended(log):
        try:
            _work(lane, piece, watch)
        except Withdrawn:
            logging.getLogger(__name__).info("%s is stopped", piece.owner)
        finally:
            faulthandler.cancel_dump_traceback_later()
    group.meet()


def _work(lane: Lane, piece: Piece, watch: "_Watch") -> None:
    from ray.train.torch import get_device

    module, function = piece.function
    try:
        getattr(importlib.import_module(module), function)(lane.run, piece.owner, watch.worker(str(get_device())))
        return
    except Exception as error:
        logging.getLogger(__name__).exception("%s failed", piece.owner)
        # Unlike the original, these are sure to survive the way to the driver.
        failure = class_of_failure(error)(one_line(error))
    raise failure


def _end(lane: Lane, trial_id: str) -> None:
    paths = lane.run.trial(trial_id)
    Attempts(paths).succeed()
    clear_away(paths)
    ray.get(lane.desk.report.remote(lane.name, {"step": 0, "done": True}))


class _Watch:
    """Tells the desk that a worker is alive, and asks it what is still to be done."""

    def __init__(self, lane: Lane, group: _Group, helps: str | None = None) -> None:
        self.leaves = False
        """Whether the trial is left before it is over."""
        self.withdrawn = False
        """Whether it is wanted no more; else it goes on later."""
        self._lane, self._group, self._helps = lane, group, helps
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
        """Gives the chunks that are for this lane, each once its last one is finished."""
        desk, lane = self._lane.desk, self._lane.name
        if self._group.rank == 0 and self._helps is None:
            ray.get(desk.share.remote(lane, name, count))
        while True:
            self._group.meet()
            chunk: Chunk = self._group.agreed(lambda: ray.get(desk.next_chunk.remote(lane, name)))
            self.alive()
            if chunk.number is not None:
                yield chunk.number, chunk.finished
            elif chunk.is_over:
                return
