"""When to strike, told from the run folder alone; and whom, told from the machine's processes."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import psutil

from drills.sweep_run import CHECKPOINT_EVERY, TRIALS, SweepRun
from fashion_sweep.run.retries import Attempts
from fashion_sweep.run.status import STAGES, Status

LANE_WORKER = "RayTrainWorker"
Moment = Callable[[SweepRun], bool]


def preparing(run: SweepRun) -> bool:
    """Some of the cache is there, and somebody makes the rest."""
    begun = any((run.root / "cache").glob("*/0*.safetensors"))
    waiting = begun and Status(run.trial(TRIALS[0])).known.get("state") == "waiting"
    return waiting and bool(named(LANE_WORKER)(run))


def step(trial_id: str, number: int) -> Moment:
    return lambda run: _stage(run, trial_id) == "train" and Status(run.trial(trial_id)).known.get("step", 0) >= number


def saving(trial_id: str, number: int) -> Moment:
    """The temporary file of a checkpoint is there."""
    return lambda run: _has_entry(run.trial(trial_id).checkpoints, f".{number:08d}.")


def saved(trial_id: str, number: int = CHECKPOINT_EVERY) -> Moment:
    return lambda run: (run.trial(trial_id).checkpoints / f"{number:08d}.safetensors").exists()


def trained(trial_id: str) -> Moment:
    return lambda run: run.trial(trial_id).adapter.exists()


def judged(trial_id: str, batches: int) -> Moment:
    return lambda run: len(list(run.trial(trial_id).judged("fashion").glob("[0-9]*"))) >= batches


def judged_further(trial_id: str, batches: int) -> Moment:
    """A look of a race adds to what the trial was judged on before."""
    return lambda run: run.trial(trial_id).result.exists() and judged(trial_id, batches)(run)


def reporting(run: SweepRun) -> bool:
    return all(run.trial(trial_id).result.exists() for trial_id in TRIALS) and not run.paths.page.exists()


def shared_memory_is_full(run: SweepRun) -> bool:
    there = os.statvfs(f"/proc/{run.process.pid}/root/dev/shm")
    return there.f_blocks * there.f_frsize <= 2**16 and there.f_bavail == 0


def has_failed(trial_id: str) -> Moment:
    return lambda run: bool(Attempts(run.trial(trial_id)).failures)


def _stage(run: SweepRun, trial_id: str) -> str | None:
    status = Status(run.trial(trial_id)).known
    return next((name for name, word in STAGES.items() if word == status.get("stage")), None)


def _has_entry(folder: Path, prefix: str) -> bool:
    try:
        return any(name.startswith(prefix) for name in os.listdir(folder))
    except FileNotFoundError:
        return False


def worker(trial_id: str) -> Callable[[SweepRun], list[psutil.Process]]:
    """That writes to the trial's log."""
    return lambda run: [one for one in _workers() if _writes_to(one, run.trial(trial_id).log)]


def helper(run: SweepRun) -> list[psutil.Process]:
    """That helps to judge a trial, whichever it is."""
    return [one for one in _workers() if any(_writes_to(one, log) for log in _logs_of_helpers(run))]


def leader(run: SweepRun) -> list[psutil.Process]:
    """That judges a trial with help."""
    workers = _workers()
    helped = [log.parent for log in _logs_of_helpers(run) if any(_writes_to(one, log) for one in workers)]
    return [one for one in workers if any(_writes_to(one, folder / "log.txt") for folder in helped)]


def _logs_of_helpers(run: SweepRun) -> list[Path]:
    return list(run.paths.trials.glob("*/log-lane-*"))


def is_helped(run: SweepRun) -> bool:
    return bool(helper(run) and leader(run))


def named(*parts: str) -> Callable[[SweepRun], list[psutil.Process]]:
    """Below the run's own process, or of the cluster it runs on."""

    def find(run: SweepRun) -> list[psutil.Process]:
        return [one for one in run.process.children(recursive=True) if any(part in _words(one) for part in parts)]

    return find


def any_of(find: Callable[[SweepRun], list[psutil.Process]], draw: random.Random) -> Callable[[SweepRun], list]:
    """One of several, by the drill's seed."""

    def one(run: SweepRun) -> list[psutil.Process]:
        found = sorted(find(run), key=lambda process: process.pid)
        return [draw.choice(found)] if found else []

    return one


def itself(run: SweepRun) -> list[psutil.Process]:
    return [run.process]


def _workers() -> list[psutil.Process]:
    return [one for one in psutil.process_iter() if LANE_WORKER in _words(one)]


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _writes_to(process: psutil.Process, path: Path) -> bool:
    try:
        return os.path.samefile(f"/proc/{process.pid}/fd/1", path)
    except OSError:
        return False
