"""The lanes of a run: groups of Ray Train workers that live as long as there is work, as many as fit.

A lane is one `LaneTrainer.fit`, waited for by a thread of the driver. What its workers load serves one trial after
another. A lane that fails is not used again: its trial goes on in another one, from where its folder stands.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from typing import Any

import ray
from ray.exceptions import RayError

from fashion_sweep.cluster.capacity import give_back_left_behind, trials_that_fit
from fashion_sweep.cluster.desk import open_desk
from fashion_sweep.cluster.failures import cause_of, is_lost_node, note_failure
from fashion_sweep.cluster.lane import IDLE_S, Lane
from fashion_sweep.cluster.lane_trainer import lane_trainer
from fashion_sweep.cluster.logs import one_line
from fashion_sweep.cluster.piece import Piece, ShardsPiece, TrialPiece
from fashion_sweep.cluster.standing import Standing
from fashion_sweep.config.preset import Resources
from fashion_sweep.errors import RunError, StorageError
from fashion_sweep.run.paths import RunPaths, TrialPaths
from fashion_sweep.run.retries import Attempts
from fashion_sweep.run.stage_inputs import fetch_standing
from fashion_sweep.run.status import Status, read_status

logger = logging.getLogger(__name__)
LOOK_EVERY_S = 1.0
ANSWER_S = 60.0
"""For which the desk may be silent."""
RETRIES = 3
"""The number of times a shard is tried again whose worker died: as often as Ray does it for a task."""
FAILED_STARTS = 5
"""How many lanes in a row may end before they have asked for work."""
PARTING_S = 10.0
"""How long lanes may take to end once there is nothing more to do."""
LAST_LOOK_S = 5.0
"""For which the end of all trials waits for a look that has begun."""


class Lanes:
    """Starts lanes while there is work for them, and ends those that hang, or that no node is there for any more."""

    def __init__(self, run: RunPaths, resources: Resources, imports: str | None = None) -> None:
        self.run, self.resources, self._imports = run, resources, imports
        self.workers = resources.workers_per_trial
        """Of each lane."""
        self.desk = open_desk()
        self._numbers = count()
        self._going: dict[str, threading.Thread] = {}
        self._killed: set[str] = set()
        self._hanging: dict[str, float] = {}
        """When lanes that hang were noticed."""
        self._deaths = Counter[tuple[Any, ...]]()
        self._enough_since: float | None = None
        self._failed_starts = 0
        self._is_over = False
        self._controllers: dict[str, Any] = {}
        """The actors by which Train looks after each lane."""
        self.at_most = trials_that_fit(resources)
        """The lanes that there is room for, with all nodes that the cluster has, or may get, by the last look."""
        self.asking: dict[str, Any] = {}
        """The actors of Tune's by which trials are asked for, by trial."""
        self.lost: str | None = None
        """Why nothing can go on; None while it can."""

    def start(self, pieces: int) -> None:
        """Starts lanes for so many pieces of work that are about to be asked for."""
        at_most = min(self.resources.max_concurrent_trials or self.at_most, self.at_most)
        for _ in range(min(at_most, pieces) - len(self._going)):
            self._start()

    def look(self) -> None:
        """Does what there is to do; to be called several times within a worker's patience."""
        self._going = {name: thread for name, thread in self._going.items() if thread.is_alive()}
        patience_s = self.resources.stall_minutes * 60
        try:
            standing: Standing = ray.get(self.desk.standing.remote(patience_s), timeout=ANSWER_S)
        except RayError as error:
            self.lost = f"the process that hands out trials died, or stands still: {one_line(error)}"
            return
        if standing.arrived:
            self._failed_starts = 0
        self.at_most = trials_that_fit(self.resources)
        self.start(standing.wanted)
        self._dismiss(standing)
        for name in standing.lingering:
            self._kill(name)
        for name, piece, workers in standing.silent:
            self._end_hanging(name, piece, workers)
        for trial_id in standing.unheard:
            if actor := self.asking.pop(trial_id, None):
                logger.warning("%s: Tune's own process stands still, and is begun anew", trial_id)
                ray.kill(actor)

    def end(self) -> None:
        """Ends lanes whatever they do."""
        for name in [*self._going]:
            self._kill(name)

    def part(self) -> None:
        """Waits a little for lanes to end, and ends those that do not: no thread may ask Ray anything after its end."""
        self._join(PARTING_S)
        for name in [name for name, thread in self._going.items() if thread.is_alive()]:
            self._kill(name)
        self._join(LAST_LOOK_S)
        self._is_over = True
        with suppress(RayError):
            give_back_left_behind()

    def _join(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for thread in self._going.values():
            thread.join(max(0.0, deadline - time.monotonic()))

    def _dismiss(self, standing: Standing) -> None:
        """Ends lanes that wait for their place while those that have one suffice; nodes are not started for them."""
        late = [name for name in self._going if name in self._controllers and name not in standing.arrived]
        if not late or not standing.arrived or standing.wanted > len(standing.arrived):
            self._enough_since = None
            return
        self._enough_since = self._enough_since or time.monotonic()
        if time.monotonic() - self._enough_since > IDLE_S:
            for name in late:
                self._kill(name)

    def _kill(self, name: str) -> None:
        self._killed.add(name)
        if controller := self._controllers.get(name):
            ray.kill(controller)

    def _start(self) -> None:
        name = f"lane-{next(self._numbers)}"
        thread = threading.Thread(target=self._hold, args=(name,), name=name, daemon=True)
        self._going[name] = thread
        thread.start()

    def _hold(self, name: str) -> None:
        """Is the body of a lane's thread: waits for its end, and sees to the piece that it has left."""
        error: Exception | None = None
        try:
            lane = Lane(name, self.run, self.resources, self.desk, self._imports)
            lane_trainer(lane, partial(self._controllers.__setitem__, name)).fit()
        except Exception as failure:
            error = failure
        self._controllers.pop(name, None)  # it lives as long as somebody has its handle
        if self._is_over:
            return
        with suppress(RayError):  # the session is over
            arrived, piece = ray.get(self.desk.leave.remote(name))
            if error is not None:
                self._after(name, arrived, piece, error)

    def _after(self, name: str, arrived: bool, piece: Piece | None, error: Exception) -> None:
        """Gives the place of a lane that failed back, and has its piece go on in another one, if it may."""
        logger.warning("%s ended: %s", name, error)
        give_back_left_behind()  # what looked after it may have died
        if piece is not None:
            self._go_on(piece, error)
        elif not (arrived or name in self._killed or is_lost_node(cause_of(error))):
            self._failed_starts += 1
            if self._failed_starts >= FAILED_STARTS:
                self.lost = f"{FAILED_STARTS} lanes in a row failed as they started: {one_line(cause_of(error))}"

    def _go_on(self, piece: Piece, error: Exception) -> None:
        match piece:
            case TrialPiece():
                self._after_trial(piece, error)
            case ShardsPiece():
                self._after_shards(piece, error)

    def _after_shards(self, piece: ShardsPiece, error: Exception) -> None:
        shards = piece.owner, *(number for number, _ in piece.numbered)
        self._deaths[shards] += 1
        if self._deaths[shards] > RETRIES:
            message = f"workers died {self._deaths[shards]} times at the same work: {one_line(cause_of(error))}"
            ray.get(self.desk.tell.remote(piece.owner, {"error": RunError(message)}))
        else:
            ray.get(self.desk.try_again.remote(piece))

    def _after_trial(self, piece: TrialPiece, error: Exception) -> None:
        paths = self.run.trial(piece.trial)
        try:
            fetch_standing(paths)
            attempts = Attempts(paths)
            if attempts.going:  # else it is noted already, as for one that hangs
                note_failure(attempts, error)
            Status(paths).queue()
        except (OSError, StorageError) as failure:
            last = {"step": 0, "error": str(failure), "done": True}
            ray.get(self.desk.tell.remote(piece.owner, last))
            return
        ray.get(self.desk.try_again.remote(piece))

    def _end_hanging(self, name: str, piece: Piece | None, workers: list[Any]) -> None:
        """Ends the workers of a lane; and what looks after them where it does not see that they have died."""
        if name in self._hanging:
            if time.monotonic() - self._hanging[name] > IDLE_S:
                self._kill(name)
            return
        self._hanging[name] = time.monotonic()
        minutes = self.resources.stall_minutes
        if isinstance(piece, TrialPiece):
            self._note_hang(self.run.trial(piece.trial), minutes)
        else:
            logger.warning("a worker gave no sign of life for %g min, and is ended", minutes)
        for worker in workers:
            ray.kill(worker)

    def _note_hang(self, paths: TrialPaths, minutes: float) -> None:
        with suppress(StorageError):
            fetch_standing(paths)
            known = read_status(paths)
            doing = f"{known.get('stage', 'starting')}, step {known.get('step', 0)}, image {known.get('images', 0)}"
            error = f"stalled: no sign of life for {minutes:g} min ({doing}); see its log"
            logger.warning("%s %s", paths.root.name, error)
            attempts = Attempts(paths)
            if attempts.going:
                attempts.fail(error)


@contextmanager
def lanes(run: RunPaths, resources: Resources, imports: str | None = None) -> Iterator[Lanes]:
    """Keeps lanes for the work of a run while the block runs, inside a `ray_session`.

    `imports` names the module that their workers import before there is anything to do.
    """
    kept, over = Lanes(run, resources, imports), threading.Event()

    def look_now_and_then() -> None:
        while not over.wait(LOOK_EVERY_S):
            try:
                kept.look()
            except Exception:  # whatever is wrong with one look, the next one may go well
                logger.exception("could not look after the lanes")

    thread = threading.Thread(target=look_now_and_then, name="lanes", daemon=True)
    thread.start()
    all_went_well = False
    try:
        yield kept
        all_went_well = True
    finally:
        over.set()
        thread.join(LAST_LOOK_S)
        with suppress(RayError):
            if all_went_well:
                ray.get(kept.desk.close.remote(), timeout=LAST_LOOK_S)
            else:
                kept.end()
        kept.part()
        with suppress(RayError):
            ray.kill(kept.desk)
