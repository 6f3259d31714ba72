"""Keeps what changes all the time in step with a runs folder in object storage, beside the work."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fashion_sweep.errors import FashionSweepError
from fashion_sweep.storage import remote

logger = logging.getLogger(__name__)

PUT_EVERY_S = 10.0
FETCH_EVERY_S = 5.0


@contextmanager
def appended(path: Path) -> Iterator[None]:
    """Puts a file that is appended to whenever it has grown, and once more at the end of the block."""
    with _meanwhile(lambda: remote.put(path), PUT_EVERY_S):
        yield
    _trying(lambda: remote.put(path))


@contextmanager
def in_step(folder: Path, log: Path) -> Iterator[None]:
    """Fetches what others put into a run's `folder`, but for what only workers need, and puts its own log.

    Raises:
        RunError: at the end of the block, the storage fails for minutes.
    """
    with _meanwhile(lambda: remote.fetch(folder, remote.FOR_TRAINING), FETCH_EVERY_S), appended(log):
        yield
    remote.fetch(folder, remote.FOR_TRAINING)


@contextmanager
def _meanwhile(do: Callable[[], None], every_s: float) -> Iterator[None]:
    """Repeats a call while the block runs, if the runs folder is in object storage.
    Whatever happens to it, the block goes on: what failed is tried again the next time."""
    if remote.current() is None:
        yield
        return
    ended = threading.Event()

    def loop() -> None:
        while not ended.wait(every_s):
            _trying(do)

    thread = threading.Thread(target=loop, name="in-step", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _trying(do: Callable[[], None]) -> None:
    try:
        do()
    except (FashionSweepError, OSError) as error:
        logger.warning("%s", error)
