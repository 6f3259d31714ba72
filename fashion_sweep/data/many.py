"""Calls a function for many files, in threads where opening a file takes long, as on a network."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
THREADS = 16
TRIED = 64
SLOW_S = 0.001
"""The seconds per file from which threads are worth it.
A local file takes a tenth of that, and threads would only wait for Python's lock."""


def over_files(call: Callable[[Any], T], items: Sequence[Any]) -> Iterator[T]:
    """Yields `call` of each item, in order; the first ones show whether threads are worth it."""
    first, rest = items[:TRIED], items[TRIED:]
    started = time.monotonic()
    yield from [call(item) for item in first]
    if time.monotonic() - started < SLOW_S * len(first):
        yield from map(call, rest)
        return
    with ThreadPoolExecutor(THREADS) as pool:
        yield from pool.map(call, rest)
