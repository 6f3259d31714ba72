"""The lanes of a run: groups of Ray Train workers that live as long as there is work, as many as fit.

A lane is one `TorchTrainer.fit`, waited for by a thread of the driver. What its workers load serves one trial after
another. A lane that fails is not used again: its trial goes on in another one, from where its folder stands.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from typing import Any

import ray
import ray.train
from ray.exceptions import RayError

from fashion_sweep.cluster.capacity import trials_that_fit, worker_resources
from fashion_sweep.cluster.desk import Standing, open_desk
from fashion_sweep.cluster.failures import note_failure
from fashion_sweep.cluster.lane_worker import DottedName, Lane, work_in_lane
from fashion_sweep.cluster.logs import one_line
from fashion_sweep.cluster.ray_storage import forget, ray_storage
from fashion_sweep.config.preset import Resources
from fashion_sweep.errors import StorageError
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.retries import Attempts
from fashion_sweep.run.stage_inputs import fetch_standing
from fashion_sweep.run.status import Status, read_status

logger = logging.getLogger(__name__)
LOOK_EVERY_S = 0.5
MEETING_S = 600.0
"""For which the workers of a lane, all started, wait to meet."""
FAILED_STARTS = 5
"""How often workers that die before they have begun are started again; Train's default is for ever."""
PARTING_S = 10.0
"""How long lanes may take to end once there is nothing more to do."""
LAST_LOOK_S = 5.0
"""For which the end of all trials waits for a look that has begun."""


class Lanes:
    """Starts lanes while trials wait for one, and ends those that hang."""

    def __init__(self, run: RunPaths, resources: Resources, train_fn: DottedName) -> None:
        self._run, self._resources, self._train_fn = run, resources, train_fn
        self.desk = open_desk()
        self._numbers = count()
        self._going: dict[str, threading.Thread] = {}
        self._killed: set[str] = set()
        self.asking: dict[str, Any] = {}
        """The actors of Tune's by which trials are asked for, by trial."""
        self.lost: str | None = None
        """Why nothing can go on; None while it can."""

    def look(self) -> None:
        """Does what there is to do; to be called several times within a worker's patience."""
        self._going = {name: thread for name, thread in self._going.items() if thread.is_alive()}
        patience_s = self._resources.stall_minutes * 60
        try:
            standing: Standing = ray.get(self.desk.standing.remote())
        except RayError as error:
            self.lost = f"the process that hands out trials died: {one_line(error)}"
            return
        at_once = self._resources.max_concurrent_trials or trials_that_fit(self._resources)
        for _ in range(min(at_once, standing.waiting + standing.working) - len(self._going)):
            self._start()
        for name, trial_id, workers in ray.get(self.desk.silent.remote(patience_s)):
            if name not in self._killed:
                self._killed.add(name)
                self._end_hanging(trial_id, workers)
        for trial_id in ray.get(self.desk.unheard.remote(patience_s)):
            if actor := self.asking.pop(trial_id, None):
                logger.warning("%s: Tune's own process stands still, and is begun anew", trial_id)
                ray.kill(actor)

    def part(self) -> None:
        """Waits a little for lanes to end: Ray's end is no good moment for a thread to wait for one."""
        deadline = time.monotonic() + PARTING_S
        for thread in self._going.values():
            thread.join(max(0.0, deadline - time.monotonic()))

    def _start(self) -> None:
        name = f"lane-{next(self._numbers)}"
        thread = threading.Thread(target=self._hold, args=(name,), name=name, daemon=True)
        self._going[name] = thread
        thread.start()

    def _hold(self, name: str) -> None:
        """Is the body of a lane's thread: waits for its end, and sees to the trial that it has left."""
        error: Exception | None = None
        try:
            self._trainer(name).fit()
        except Exception as failure:
            error = failure
        with suppress(RayError):  # the session is over
            trial_id = ray.get(self.desk.leave.remote(name))
            if error is not None:
                logger.warning("%s ended: %s", name, error)
                self._after(trial_id, error)

    def _after(self, trial_id: str | None, error: Exception) -> None:
        """Has the trial of a lane that failed go on in another one, if it may."""
        if trial_id is None:
            return
        paths = self._run.trial(trial_id)
        try:
            fetch_standing(paths)
            attempts = Attempts(paths)
            if attempts.going:  # else it is noted already, as for one that hangs
                note_failure(attempts, error)
            Status(paths).queue()
        except (OSError, StorageError) as failure:
            ray.get(self.desk.give_up.remote(trial_id, str(failure)))
            return
        ray.get(self.desk.try_again.remote(trial_id))

    def _end_hanging(self, trial_id: str, workers: list[Any]) -> None:
        paths = self._run.trial(trial_id)
        with suppress(StorageError):
            fetch_standing(paths)
            known = read_status(paths)
            doing = f"{known.get('stage', 'starting')}, step {known.get('step', 0)}, image {known.get('images', 0)}"
            minutes = self._resources.stall_minutes
            error = f"stalled: no sign of life for {minutes:g} min ({doing}); see its log"
            logger.warning("%s %s", trial_id, error)
            attempts = Attempts(paths)
            if attempts.going:
                attempts.fail(error)
        for worker in workers:
            ray.kill(worker)

    def _trainer(self, name: str) -> Any:
        from ray.train.torch import TorchTrainer

        from fashion_sweep.cluster.loopback import on_this_machine_only
        from fashion_sweep.cluster.process_group import Torch, TorchOnThisMachine

        own = f"{name}-{time.time_ns()}"
        forget(self._run, f"{own}/checkpoint_manager_snapshot.json")
        lane = Lane(name, self._run, self._resources, self.desk, self._train_fn)
        return TorchTrainer(
            partial(work_in_lane, lane),
            torch_config=(TorchOnThisMachine if on_this_machine_only() else Torch)(timeout_s=int(MEETING_S)),
            scaling_config=ray.train.ScalingConfig(
                num_workers=self._resources.workers_per_trial,
                use_gpu=self._resources.gpus_per_worker > 0,
                resources_per_worker=worker_resources(self._resources),
            ),
            run_config=ray.train.RunConfig(
                name=own,
                **ray_storage(self._run),
                failure_config=ray.train.FailureConfig(max_failures=0, controller_failure_limit=FAILED_STARTS),
            ),
        )


@contextmanager
def lanes(run: RunPaths, resources: Resources, train_fn: DottedName) -> Iterator[Lanes]:
    """Keeps lanes for the trials of a run while the block runs, inside a `ray_session`."""
    kept, over = Lanes(run, resources, train_fn), threading.Event()

    def look_now_and_then() -> None:
        while not over.wait(LOOK_EVERY_S):
            try:
                kept.look()
            except Exception:  # whatever is wrong with one look, the next one may go well
                logger.exception("could not look after the lanes")

    thread = threading.Thread(target=look_now_and_then, name="lanes", daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        over.set()
        thread.join(LAST_LOOK_S)
        with suppress(RayError):
            ray.get(kept.desk.close.remote())
        kept.part()
