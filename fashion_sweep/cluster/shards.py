"""Has the lanes make the shards of work that comes before the trials."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ray

from fashion_sweep.cluster.lanes import Lanes
from fashion_sweep.cluster.piece import ENCODINGS, Piece
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
    firsts = range(0, len(numbered), at_once)
    pieces = [Piece(ENCODINGS, shards=tuple(numbered[first : first + at_once]), function=function) for first in firsts]
    results: dict[int, Any] = {}
    ray.get(lanes.desk.ask.remote(ENCODINGS, pieces))
    try:
        while len(results) < len(shards):
            coming = lanes.desk.next_report.remote(ENCODINGS)
            while not ray.wait([coming], timeout=1.0)[0]:
                if lanes.lost:
                    raise RunError(lanes.lost)
            report = ray.get(coming)
            if report is None:
                continue
            if error := report.get("error"):
                raise error
            results[report["number"]] = report["result"]
            on_done(len(results))
    finally:
        lanes.desk.take_back.remote(ENCODINGS)
    return [results[number] for number, _ in numbered]
