"""Work that comes before the trials, spread over the whole cluster."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import ray
from ray.exceptions import RayTaskError

from fashion_sweep.cluster.capacity import worker_resources
from fashion_sweep.config import Resources

T = TypeVar("T")
R = TypeVar("R")


def map_shards(
    function: Callable[[T], R],
    shards: Sequence[T],
    resources: Resources,
    on_done: Callable[[int], None],
) -> list[R]:
    """`[function(shard) for shard in shards]`, each with the resources of a trial's worker; inside a `ray_session`.

    Args:
        function: found in the workers by its dotted name; may be called again if its process dies.
        on_done: gets the number of finished shards each time it has grown.

    Raises:
        Exception: what `function` raised first; the other shards are given up.
    """
    need = worker_resources(resources)
    task = ray.remote(num_cpus=need["CPU"], num_gpus=need.get("GPU", 0))(function)
    results = [task.remote(shard) for shard in shards]
    running = list(results)
    try:
        while running:
            done, running = ray.wait(running)
            ray.get(done)
            on_done(len(results) - len(running))
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, Exception) else error) from error
    finally:
        for result in running:
            ray.cancel(result, force=True)
    return ray.get(results)
