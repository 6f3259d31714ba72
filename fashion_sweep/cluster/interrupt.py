"""Delays Ctrl-C, or a polite kill, to safe moments: Ray's start, loop and end leave something behind if cut short."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

REPEATS_S = 3.0
"""The seconds within which a further Ctrl-C counts as the same one, by an impatient hand."""


class Interrupt:
    pending = False
    said = False
    """Whether "stopping ..." was printed: once for all instances, since a slow stop may pass several of them."""

    def note(self, _signal: int, _frame: FrameType | None) -> None:
        self.pending = True
        if not Interrupt.said:
            Interrupt.said = True
            os.write(2, b"stopping ...\n")  # not by print, which may be at work

    def check(self) -> None:
        """Raises KeyboardInterrupt if a Ctrl-C was noted."""
        if self.pending:
            raise KeyboardInterrupt


@contextmanager
def impatient_interrupt() -> Iterator[Interrupt]:
    """Lets Ctrl-C raise KeyboardInterrupt as usual; those that follow at once would only cut the clean-up short.

    Python drops what is raised while it forks, as Ray's start does many times: `check` afterwards.
    """
    interrupt = Interrupt()
    last = -REPEATS_S

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal last
        interrupt.note(number, frame)
        if time.monotonic() - last >= REPEATS_S:
            last = time.monotonic()
            raise KeyboardInterrupt

    with _handler(handle):
        yield interrupt


@contextmanager
def late_interrupt() -> Iterator[Interrupt]:
    """Notes a Ctrl-C in the object that is yielded, and delivers it only when the block is left."""
    interrupt = Interrupt()
    try:
        with _handler(interrupt.note):
            yield interrupt
    finally:
        if interrupt.pending:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def _handler(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's business
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
