"""What is done to a sweep when its moment has come: processes killed or frozen, files spoilt, a disk filled."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from drills import surroundings
from drills.sweep_run import SweepRun

Strike = Callable[[SweepRun, list[Any]], None]
IN_THE_WAY = "in-the-way"


def kill(run: SweepRun, processes: list[psutil.Process]) -> None:
    assert processes, "nobody to kill"
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # one that is gone may take others along
            process.kill()


def freeze(run: SweepRun, processes: list[psutil.Process]) -> None:
    assert processes, "nobody to freeze"
    for process in processes:
        process.suspend()


def use_up_memory(run: SweepRun, processes: list[psutil.Process]) -> None:
    """Until Ray has ended one of the run's processes."""
    before = {one.pid for one in run.process.children(recursive=True) if "ray::" in " ".join(one.cmdline())}
    hog = subprocess.Popen([sys.executable, "-c", surroundings.HOG])
    try:
        deadline = time.monotonic() + 60
        while all(psutil.pid_exists(pid) for pid in before):
            assert time.monotonic() < deadline, "nobody was ended"
            time.sleep(0.1)
    finally:
        hog.kill()


def nothing_more(run: SweepRun, processes: list[psutil.Process]) -> None:
    """For what is broken by the run's own settings or surroundings."""


def start_another(run: SweepRun, processes: list[psutil.Process]) -> None:
    other = SweepRun(run.root, run.name, run.settings, said_in="{name}-second.out")
    other.start()
    refused = (other.finish(), "is in use by another process" in other.last_line())
    assert refused == (2, True), other.last_line()


def kill_all(run: SweepRun, processes: list[psutil.Process]) -> None:
    everybody = [*run.process.children(recursive=True), run.process]
    kill(run, everybody)


def _quietly(*words: str) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def _spoil(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "torn":
        content = content[: len(content) // 2]
    else:
        content[-40] ^= 1
    path.write_bytes(content)


def spoil_checkpoint(trial_id: str, how: str) -> Strike:
    def strike(run: SweepRun, processes: list[psutil.Process]) -> None:
        freeze(run, processes)
        _spoil(max(run.trial(trial_id).checkpoints.glob("[0-9]*")), how)
        kill(run, processes)

    return strike


def spoil_results(trial_id: str) -> Strike:
    def strike(run: SweepRun, processes: list[psutil.Process]) -> None:
        freeze(run, processes)
        _spoil(run.trial(trial_id).adapter, "flipped")
        _spoil(max(run.trial(trial_id).judged("fashion").glob("[0-9]*")), "flipped")
        run.trial(trial_id).status.write_text("{")
        kill(run, processes)

    return strike


def lose_node(run: SweepRun, processes: list[psutil.Process]) -> None:
    nodes = surroundings.NODES[str(run.root)]
    (process,) = processes
    node = next(one for one in nodes if process.ppid() == one.all_processes["raylet"][0].process.pid)
    os.kill(process.ppid(), signal.SIGKILL)
    nodes.remove(node)


def jump(days: int) -> Any:
    return lambda run, processes: surroundings.set_clock(run.root, days)


def fill(run: SweepRun, processes: list[psutil.Process]) -> None:
    with (run.root / IN_THE_WAY).open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))


def make_room(run: SweepRun) -> None:
    (run.root / IN_THE_WAY).unlink()


def immutable(trial_id: str, flag: str, folder: str) -> Any:
    return lambda run, processes=(): _quietly("chattr", flag, str(run.trial(trial_id).root / folder))
