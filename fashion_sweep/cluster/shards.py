"""Work that comes before the trials, spread over the whole cluster."""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from fashion_sweep.cluster.capacity import worker_resources, workers_that_fit
from fashion_sweep.cluster.logs import one_line
from fashion_sweep.config import Resources
from fashion_sweep.errors import RunError

T = TypeVar("T")
R = TypeVar("R")
RETRIES = 3
"""How often a shard is tried again whose worker died: as often as Ray does it for a task."""


def map_shards(
    function: Callable[[T], R],
    shards: Sequence[T],
    resources: Resources,
    on_done: Callable[[int], None],
) -> list[R]:
    """`[function(shard) for shard in shards]`, by workers with the resources of a trial's that are ended afterwards;
    inside a `ray_session`.

    Args:
        function: found in the workers by its dotted name; may be called again if its process dies.
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
                pool.running[worker.make.remote(function, shards[index])] = worker, index
            else:
                ray.kill(worker)
                pool.end_unused()
    finally:
        pool.end()
    return [results[index] for index in range(len(shards))]


class _Worker:
    """A process that makes one shard after another and keeps what it has loaded: Ray would end that of a task which
    uses a GPU with the task."""

    def make(self, function: Callable[[T], R], shard: T) -> R:
        return function(shard)


class _Pool:
    def __init__(self, resources: Resources) -> None:
        need = worker_resources(resources)
        self._class = ray.remote(num_cpus=need["CPU"], num_gpus=need.get("GPU", 0))(_Worker)
        self.running: dict[Any, tuple[Any, int | None]] = {}
        """What is awaited: a worker with the number of its shard, or with None while it starts."""

    def start_worker(self) -> None:
        worker = self._class.remote()
        self.running[worker.__ray_ready__.remote()] = worker, None

    def wait(self) -> tuple[Any, int | None, Any]:
        """The next worker that is ready for a shard, the number of the one it has made, and that one's result; in its
        place the error by which the worker's process died.

        Raises:
            Exception: what the function raised.
        """
        (done,), _ = ray.wait(list(self.running))
        try:
            result = ray.get(done)
        except RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from error
        except RayError as error:
            result = error
        return *self.running.pop(done), result

    def end_unused(self) -> None:
        """Ends workers that have not started, else each that ends makes room for one that has nothing to do."""
        for reference in [reference for reference, (_, index) in self.running.items() if index is None]:
            ray.kill(self.running.pop(reference)[0])

    def end(self) -> None:
        for worker, _ in self.running.values():
            ray.kill(worker)
