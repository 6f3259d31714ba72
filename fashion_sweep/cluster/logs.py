"""Directs output: Ray's own to the run's log, a worker's to its trial's log. The terminal stays the caller's."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from fashion_sweep.errors import ESCAPES
from fashion_sweep.run.paths import TrialPaths
from fashion_sweep.storage import remote

LONGEST = 1000
"""The most characters that an error's line may have; the names of a batch's samples have room in it."""
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


@contextmanager
def ray_logs_to(path: Path) -> Iterator[None]:
    """Sends what Ray's libraries, and our own use of them, log or warn in this process to the end of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(_without_colours)
    loggers = [logging.getLogger(name) for name in ("ray", "fashion_sweep.cluster", "py.warnings")]
    before = [(logger, logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
    logging.captureWarnings(True)
    print_worker_logs = ray._private.worker.print_worker_logs  # what Ray's daemons have to say, past all logging
    ray._private.worker.print_worker_logs = _log_lines
    try:
        yield
    finally:
        ray._private.worker.print_worker_logs = print_worker_logs
        logging.captureWarnings(False)
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
        handler.close()


def _without_colours(record: logging.LogRecord) -> bool:
    record.msg, record.args = ESCAPES.sub("", record.getMessage()), ()
    return True


def _log_lines(data: dict[str, Any], *_: object) -> None:
    for line in data.get("lines", []):
        logging.getLogger("ray").warning("(%s) %s", data.get("pid"), line)


def log_of(paths: TrialPaths, rank: int) -> Path:
    """Returns the log file of a worker: one for all, or one for each rank above 0 where each node has its own files."""
    return paths.log if rank == 0 or not remote.current() else paths.log.with_stem(f"{paths.log.stem}-{rank}")


def worker_output_to(path: Path, rank: int) -> None:
    """Appends all that this process writes to stdout and stderr, C libraries included, to `path`, for good."""
    path.parent.mkdir(parents=True, exist_ok=True)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    sys.stdout = open(1, "w", buffering=1, closefd=False, encoding="utf-8", errors="replace")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, encoding="utf-8", errors="replace")  # noqa: SIM115
    form = FORMAT if rank == 0 else FORMAT.replace("%(name)s", f"[{rank}] %(name)s")
    logging.basicConfig(level=logging.WARNING, format=form, stream=sys.stderr, force=True)
    logging.getLogger("fashion_sweep").setLevel(logging.INFO)  # of the libraries, only what they warn of
    logging.getLogger("ray.train").handlers = [logging.NullHandler()]
    logging.captureWarnings(True)


def one_line(error: BaseException) -> str:
    """Returns an error's type and first line; also its last line, where the first one only announces what follows."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    message = " ".join([lines[0], *lines[-1:]] if len(lines) > 1 and lines[0].endswith(":") else lines[:1])
    line = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
