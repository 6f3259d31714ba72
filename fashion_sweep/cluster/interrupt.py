"""Ctrl-C at moments of our choice: Ray's start, loop and end each leave something behind if cut short anywhere."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    pending = False

    def note(self, _signal: int, _frame: FrameType | None) -> None:
        self.pending = True

    def check(self) -> None:
        """Raises KeyboardInterrupt if one came."""
        if self.pending:
            raise KeyboardInterrupt


@contextmanager
def only_first_interrupt() -> Iterator[Interrupt]:
    """The first Ctrl-C raises KeyboardInterrupt as usual; the ones after it would only cut the clean-up short.

    Python drops what is raised while it forks, as Ray's start does many times: `check` afterwards.
    """
    interrupt = Interrupt()

    def handle(number: int, frame: FrameType | None) -> None:
        if not interrupt.pending:
            interrupt.note(number, frame)
            raise KeyboardInterrupt

    with _handler(handle):
        yield interrupt


@contextmanager
def late_interrupt() -> Iterator[Interrupt]:
    """A Ctrl-C is only noted in the object that is yielded, and delivered when the block is left."""
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
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
