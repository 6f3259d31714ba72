"""Spreads work that comes before the trials over the whole cluster."""

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from fashion_sweep.cluster.capacity import worker_resources, workers_that_fit
from fashion_sweep.cluster.logs import one_line
from fashion_sweep.config.preset import Resources
from fashion_sweep.errors import RunError
from fashion_sweep.run.status import Alive

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")
LOOKS = 50
"""How often within its patience a worker is looked at."""
RETRIES = 3
"""The number of times a shard is tried again whose worker died: as often as Ray does it for a task."""


def map_shards(
    function: Callable[[T, Alive], R],
    shards: Sequence[T],
    resources: Resources,
    on_done: Callable[[int], None],
) -> list[R]:
    """Returns `[function(shard, alive) for shard in shards]`, made by workers with the resources of a trial's.

    The workers are ended afterwards. To be called inside a `ray_session`.

    Args:
        function: found in the workers by its dotted name; may be called again if its process dies, or is ended
            because it did not call `alive` for `resources.stall_minutes`.
        on_done: gets the number of finished shards each time it has grown.

    Raises:
        Exception: what `function` raised first; the other shards are given up.
        RunError: at one shard, worker after worker died.
    """
    waiting, results, deaths = deque(range(len(shards))), dict[int, R](), Counter[int | None]()
    pool = _Pool(resources)
    try:
        # Those that find no room yet wait for it, and an autoscaler makes it. More than it may make, it would be told
        # of for ever, and none of its nodes would count as idle.
        for _ in range(min(len(shards), workers_that_fit(resources))):
            pool.start_worker()
        while len(results) < len(shards):
            worker, index, result = pool.wait()
            if isinstance(result, RayError):
                deaths[index] += 1
                if deaths[index] > RETRIES:
                    raise RunError(f"workers died {deaths[index]} times at the same work: {one_line(result)}")
                waiting.extendleft([] if index is None else [index])
                pool.start_worker()
                continue
            if index is not None:
                results[index] = result
                on_done(len(results))
            if waiting:
                index = waiting.popleft()
                pool.give(worker, index, function, shards[index])
            else:
                ray.kill(worker)
                pool.end_unused()
    finally:
        pool.end()
    return [results[index] for index in range(len(shards))]


class _ShardWorker:
    """Makes one shard after another in one process that keeps what it has loaded. Ray would end the process of a task
    that uses a GPU with the task."""

    def __init__(self) -> None:
        self._signs = 0

    def make(self, function: Callable[[T, Alive], R], shard: T) -> R:
        self._alive()
        return function(shard, self._alive)

    def _alive(self) -> None:
        self._signs += 1

    def signs_of_life(self) -> int:
        return self._signs


@dataclass
class _ShardTask:
    """A call to a worker whose result is awaited."""

    worker: Any
    index: int | None
    """The number of the shard; None while the worker starts, or waits for its place."""
    asked: Any = None
    """The reference to the answer about the worker's signs of life, while one is awaited."""
    signs: int | None = None
    """The number of signs of life in the worker's last answer."""
    since: float | None = None
    """When the number of signs last changed; None before the worker was first asked."""


class _Pool:
    def __init__(self, resources: Resources) -> None:
        need = worker_resources(resources)
        # The second thread tells of itself while the first one works.
        self._class = ray.remote(num_cpus=need["CPU"], num_gpus=need.get("GPU", 0), max_concurrency=2)(_ShardWorker)
        self._patience_s = resources.stall_minutes * 60
        self._looked = time.monotonic()
        self.running: dict[Any, _ShardTask] = {}
        """The awaited calls by the references to their results."""

    def start_worker(self) -> None:
        worker = self._class.remote()
        self.running[worker.__ray_ready__.remote()] = _ShardTask(worker, None)

    def give(self, worker: Any, index: int, function: Callable[[T, Alive], R], shard: T) -> None:
        self.running[worker.make.remote(function, shard)] = _ShardTask(worker, index)

    def wait(self) -> tuple[Any, int | None, Any]:
        """Waits for the next worker that is ready for a shard.

        Returns:
            The worker, the number of the shard it has made, and that shard's result; in the result's place the error
            by which the worker's process died.

        Raises:
            Exception: what the function raised.
        """
        finished: list[Any] = []
        while not finished:
            finished, _ = ray.wait(list(self.running), timeout=self._patience_s / LOOKS)
            self._end_hanging()
        (done,) = finished
        try:
            result = ray.get(done)
        except RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from error
        except RayError as error:
            result = error
        task = self.running.pop(done)
        return task.worker, task.index, result

    def _end_hanging(self) -> None:
        """Ends workers that have given no sign of life for too long; their shards come back as if they had died."""
        if time.monotonic() - self._looked < self._patience_s / LOOKS:
            return
        self._looked = now = time.monotonic()
        for task in self.running.values():
            if task.index is None:
                continue
            if task.asked is not None and ray.wait([task.asked], timeout=0)[0]:
                signs, task.asked = _answer(task.asked), None
                if signs != task.signs:
                    task.signs, task.since = signs, now
            if task.asked is None:
                task.asked = task.worker.signs_of_life.remote()
            task.since = task.since or now
            if now - task.since > self._patience_s:
                logger.warning("a worker gave no sign of life for %g min, and is ended", self._patience_s / 60)
                task.since = now
                ray.kill(task.worker)

    def end_unused(self) -> None:
        """Ends workers that have not started, else each that ends makes room for one that has nothing to do."""
        for reference in [reference for reference, task in self.running.items() if task.index is None]:
            ray.kill(self.running.pop(reference).worker)

    def end(self) -> None:
        for task in self.running.values():
            ray.kill(task.worker)


def _answer(asked: Any) -> int:
    try:
        return int(ray.get(asked))
    except RayError:  # its process died, which is seen soon
        return 0
