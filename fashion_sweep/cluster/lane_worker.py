"""What the workers of a lane do: one trial after another, as long as there are any."""

import faulthandler
import importlib
import logging
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias

import ray
import ray.train
from ray.exceptions import RayError

from fashion_sweep.cluster.failures import class_of_failure
from fashion_sweep.cluster.logs import log_of, one_line, worker_output_to
from fashion_sweep.cluster.worker import Withdrawn, Worker
from fashion_sweep.config.preset import Resources
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.retries import Attempts, clear_away
from fashion_sweep.run.stage_inputs import fetch_for_trial, fetch_standing
from fashion_sweep.run.status import Status
from fashion_sweep.storage import remote
from fashion_sweep.storage.sync import appended

DottedName: TypeAlias = tuple[str, str]
"""Module and function. By name, so that only workers import what the function needs: seconds for each process."""
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
    train_fn: DottedName


def work_in_lane(lane: Lane) -> None:
    """Is the body of a worker's process: carries out trials until the desk has none for a while."""
    from torch import distributed

    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    distributed.set_timeout(timedelta(seconds=PATIENCE_S), distributed.group.WORLD)
    while (trial_id := _agreed(_next_trial, lane, rank, world_size)) is not None:
        if _agreed(lambda lane, chosen=trial_id: _may_begin(lane, chosen), lane, rank, world_size):
            _carry_out(lane, trial_id, rank, world_size)


def _agreed(find: Any, lane: Lane, rank: int, world_size: int) -> Any:
    """What rank 0 finds, on every rank."""
    found = [find(lane) if rank == 0 else None]
    if world_size > 1:
        from torch import distributed

        distributed.broadcast_object_list(found, src=0)
    return found[0]


def _next_trial(lane: Lane) -> str | None:
    trial_id: str | None = ""
    while trial_id == "":
        trial_id = ray.get(lane.desk.next_trial.remote(lane.name, IDLE_S))
    return trial_id


def _may_begin(lane: Lane, trial_id: str) -> bool:
    """Notes that an attempt begins; False where the trial is over, or has failed too often."""
    paths = lane.run.trial(trial_id)
    fetch_standing(paths)
    if paths.result.is_file():  # it was over when its last lane died
        _end(lane, trial_id)
        return False
    attempts = Attempts(paths)
    if not attempts.begin(lane.resources.max_failures):
        ray.get(lane.desk.give_up.remote(trial_id, attempts.last_error or "unknown error"))
        return False
    Status(paths).start()
    return True


def _carry_out(lane: Lane, trial_id: str, rank: int, world_size: int) -> None:
    paths, watch = lane.run.trial(trial_id), _Watch(lane, rank, world_size)
    watch.alive()
    fetch_for_trial(lane.run, paths)
    if remote.current() and world_size > 1:  # what one has kept of an attempt that was cut short is for all
        from torch import distributed

        distributed.barrier()
        fetch_for_trial(lane.run, paths)
    log = log_of(paths, rank)
    worker_output_to(log, rank)
    watch.alive()  # again, for now there is a log
    Status(paths, writes=rank == 0).arrive()
    with appended(log):
        try:
            _work(lane, trial_id, watch)
        except Withdrawn:
            logging.getLogger(__name__).info("%s is stopped", trial_id)
            if rank == 0:
                Attempts(paths).succeed()
            return
        finally:
            faulthandler.cancel_dump_traceback_later()
    if rank == 0:
        _end(lane, trial_id)


def _work(lane: Lane, trial_id: str, watch: "_Watch") -> None:
    from ray.train.torch import get_device

    module, function = lane.train_fn
    worker = Worker(watch.rank, watch.world_size, str(get_device()), watch.alive, watch.report, watch.check, stays=True)
    try:
        getattr(importlib.import_module(module), function)(lane.run, trial_id, worker)
        return
    except Exception as error:
        logging.getLogger(__name__).exception("%s failed", trial_id)
        # Unlike the original, these are sure to survive the way to the driver.
        failure = class_of_failure(error)(one_line(error))
    raise failure


def _end(lane: Lane, trial_id: str) -> None:
    paths = lane.run.trial(trial_id)
    Attempts(paths).succeed()
    clear_away(paths)
    ray.get(lane.desk.report.remote(lane.name, {"step": 0, "done": True}))


class _Watch:
    """Tells the desk that a worker is alive, and asks it whether its trial is still wanted."""

    def __init__(self, lane: Lane, rank: int, world_size: int) -> None:
        self.rank, self.world_size = rank, world_size
        self._lane, self._patience_s = lane, lane.resources.stall_minutes * 60
        self._actor = ray.get_runtime_context().current_actor
        self._signed = self._asked_at = float("-inf")
        self._question: Any = None
        self._stops_early = False

    def alive(self) -> None:
        """Gives a sign of life; should no other follow, the log gets to know where the worker hangs."""
        faulthandler.dump_traceback_later(0.9 * self._patience_s, file=sys.stderr)
        if time.monotonic() - self._signed > self._patience_s / SIGNS:
            self._signed = time.monotonic()
            self._lane.desk.sign.remote(self._lane.name, self.rank, self._actor)

    def report(self, values: dict[str, float]) -> None:
        """Rank 0's values go to Tune.

        Raises:
            Withdrawn: it waits for them no longer.
        """
        assert "step" in values
        if self.rank == 0:
            ray.get(self._lane.desk.report.remote(self._lane.name, dict(values)))
        self.check()

    def check(self) -> None:
        """Raises Withdrawn, on all ranks, where the trial is not wanted any more."""
        if not _agreed(self._is_wanted, self._lane, self.rank, self.world_size):
            raise Withdrawn

    def _is_wanted(self, lane: Lane) -> bool:
        """As far as it is known without waiting."""
        if self._question is None and time.monotonic() - self._asked_at > ASK_EVERY_S:
            self._question, self._asked_at = lane.desk.is_wanted.remote(lane.name), time.monotonic()
        if self._question is not None and ray.wait([self._question], timeout=0)[0]:
            question, self._question = self._question, None
            with suppress(RayError):
                return bool(ray.get(question))
        return True
