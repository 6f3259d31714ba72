"""Has the lanes make the shards of work that comes before the trials."""

import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, TypeVar

import ray
from ray.exceptions import RayActorError

from fashion_sweep.cluster.lanes import Lanes
from fashion_sweep.cluster.logs import one_line
from fashion_sweep.cluster.piece import ShardsPiece
from fashion_sweep.errors import RunError
from fashion_sweep.run.status import Alive

T = TypeVar("T")
R = TypeVar("R")


def map_shards(
    function: Callable[[T, Alive], R],
    shards: Sequence[T],
    lanes: Lanes,
    on_done: Callable[[int], None],
) -> list[R]:
    """Returns `[function(shard, alive) for shard in shards]`, made by workers of lanes, each a shard at a time.

    Args:
        function: may be called again if its process dies, or is ended because it did not call `alive` for
            `resources.stall_minutes`.
        on_done: gets the number of finished shards each time it has grown.

    Raises:
        Exception: what `function` raised first; the other shards are given up.
        RunError: at one shard, worker after worker died.
    """
    numbered, at_once = list(enumerate(shards)), lanes.workers
    firsts, owner = range(0, len(numbered), at_once), f"shards-{time.time_ns()}"
    pieces = [ShardsPiece(owner, function, tuple(numbered[first : first + at_once])) for first in firsts]
    results: dict[int, Any] = {}
    try:
        ray.get(lanes.desk.ask.remote(owner, pieces))
        for heard in count():
            if len(results) == len(shards):
                break
            report = _next_report(lanes, owner, heard)
            if error := report.get("error"):
                raise error
            if report["number"] not in results:  # a lane that dies before it asks for more has its shard made anew
                results[report["number"]] = report["result"]
                on_done(len(results))
    except RayActorError as error:
        raise RunError(f"the process that hands out work died: {one_line(error)}") from error
    finally:
        lanes.desk.take_back.remote(owner)
    return [results[number] for number, _ in numbered]


def _next_report(lanes: Lanes, owner: str, heard: int) -> dict[str, Any]:
    report: dict[str, Any] | None = None
    while report is None:
        coming = lanes.desk.next_report.remote(owner, heard)
        while not ray.wait([coming], timeout=1.0)[0]:
            if lanes.lost:
                raise RunError(lanes.lost)
        report = ray.get(coming)
        if lanes.lost:
            raise RunError(lanes.lost)
    return report
