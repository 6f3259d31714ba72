"""Notices that the Ray of this machine died. Ray's libraries wait for it to come back, which it does not."""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager

import psutil

from fashion_sweep.errors import RunError
from fashion_sweep.run.paths import RunPaths

LOOK_EVERY_S = 1.0
PATIENCE_S = 60.0
"""The seconds that the main thread may take to notice; some of Ray's calls wait for it where no signal reaches them."""
VITAL = ("gcs_server", "raylet")


@contextmanager
def guarding(run: RunPaths, started: Collection[psutil.Process]) -> Iterator[None]:
    """Interrupts the block when one of Ray's vital processes is gone.

    Args:
        run: what is carried out in the block.
        started: Ray's processes; of a cluster, none of which runs here, there is nothing to guard.

    Raises:
        RunError: one of them died.
    """
    vital = {process: name for process in started for name in VITAL if process.name() == name}
    ended, died = threading.Event(), list[str]()
    thread = threading.Thread(target=_watch, args=(run, vital, ended, died), name="guard", daemon=True)
    thread.start()
    try:
        yield
    except BaseException as error:
        if died:
            raise RunError(_said(run, died)) from error
        raise
    finally:
        ended.set()
        thread.join()


def _watch(run: RunPaths, vital: dict[psutil.Process, str], ended: threading.Event, died: list[str]) -> None:
    while not ended.wait(LOOK_EVERY_S):
        died += [name for process, name in vital.items() if not is_alive(process)]
        if died:
            os.kill(os.getpid(), signal.SIGINT)  # also where the main thread sleeps
            if not ended.wait(PATIENCE_S):
                print(f"error: {_said(run, died)}", file=sys.stderr, flush=True)
                os._exit(RunError.exit_code)
            return


def _said(run: RunPaths, died: Collection[str]) -> str:
    resume = f"python -m fashion_sweep resume {shlex.quote(run.name)}"
    return f"Ray's {' and '.join(died)} died on this machine; {resume} goes on from here"


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
