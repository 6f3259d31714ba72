"""Opening a run folder: one process at a time, one configuration for ever."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from fashion_sweep.config.loading import read_run_config
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.sweep import NAME
from fashion_sweep.errors import RunError
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.run.stage_inputs import fetch_run
from fashion_sweep.storage import locks, remote
from fashion_sweep.storage.files import remove_unfinished, write_text
from fashion_sweep.storage.lease import is_leased, leased


def new_run(config: RunConfig, name: str | None, option: str = "--name") -> RunPaths:
    """Returns the run folder of that name, which `option` gave, or of one made of sweep, preset and time."""
    if name is not None and not (re.fullmatch(NAME, name) and len(os.fsencode(name)) <= LONGEST):
        raise RunError(
            f"{option} {name[:LONGEST]!r}: becomes a folder's name; "
            f"write it in letters, digits, _, - and ., {LONGEST} bytes at most"
        )
    if name and name.casefold() in RESERVED:
        raise RunError(f"{option} {name!r}: lies beside the runs already; give another")
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return RunPaths(runs_root() / (name or f"{config.sweep.name}-{config.preset.name}-{stamp}"))


RESERVED = {"cache", "comparisons", *remote.LOCAL}
"""Names beside the runs that no run may have."""
LONGEST = 100
"""The most bytes of a run's name, which becomes part of longer ones."""


@contextmanager
def claimed(run: RunPaths, config: RunConfig) -> Iterator[None]:
    """Makes a run folder or goes on in it, and holds its lock.

    The lock goes with the process, however it ends; in object storage a minute later.

    Raises:
        RunError: another process works in it, or it belongs to another configuration.
    """
    with ExitStack() as held:
        if stored := remote.current():
            stored.bucket.check()
            held.enter_context(leased(stored.bucket, f"{run.name}/{run.lock.name}", f"{stored.bucket.url}/{run.name}"))
            fetch_run(run, send=True)
        held.enter_context(_locked(run, config))
        yield


@contextmanager
def _locked(run: RunPaths, config: RunConfig) -> Iterator[None]:
    if run.root.exists() and not run.config.exists() and not _is_empty(run.root):
        raise RunError(f"{run.root} is no run folder; give the run another name")
    run.root.mkdir(parents=True, exist_ok=True)
    with run.lock.open("w") as lock:
        if not _is_ours(lock):
            raise RunError(f"{run.root} is in use by another process; wait for it or give the run another name")
        if not run.config.exists():
            write_text(run.config, config.to_yaml())
        elif changed := differing(read_run_config(run.config).model_dump(), config.model_dump()):
            raise RunError(
                f"{run.root} belongs to another configuration ({', '.join(changed)}); give the run another name"
            )
        for folder in (run.trials, run.data):
            remove_unfinished(folder)
        yield


def _is_ours(lock: IO[str]) -> bool:
    """Tries to take the lock for a second, since `is_claimed` of another process holds it for a moment."""
    for _ in range(10):
        with suppress(BlockingIOError):
            locks.lock(lock, wait=False)
            return True
        time.sleep(0.1)
    return False


def is_claimed(run: RunPaths) -> bool:
    """Returns whether a process works in the run folder now."""
    if stored := remote.current():
        return is_leased(stored.bucket, f"{run.name}/{run.lock.name}")
    try:
        with run.lock.open() as lock:
            locks.lock(lock, wait=False, shared=True)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _is_empty(folder: Path) -> bool:
    """Returns whether a folder is empty, but for what a run that ended before its first word leaves."""
    return folder.is_dir() and all(path.name.startswith(".") for path in folder.iterdir())


def differing(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Returns the dotted keys whose values are not the same."""
    keys = []
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        a, b = ours.get(key), theirs.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            keys += differing(a, b, f"{prefix}{key}.")
        elif a != b:
            keys.append(f"{prefix}{key}".removeprefix("preset."))
    return keys
