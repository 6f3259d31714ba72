"""What the tests have workers do; a module of its own because workers find functions by their dotted names."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil

from fashion_sweep.cluster.worker import Worker
from fashion_sweep.errors import DataError, TrialError
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.status import Alive, Status
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import read_json, write_json

SEARCH_PATH = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
"""What PYTHONPATH must be for workers to find this module."""


TUNES = ("ResourceTrainable", "WithDesk")
"""What Ray calls the processes in which Tune waits: at work, and at rest."""


def train(run: RunPaths, trial_id: str, worker: Worker) -> None:
    print(f"{trial_id} runs as rank {worker.rank} of {worker.world_size} on {worker.device}")
    os.system("echo a child process speaks")
    for step in (1, 2):
        worker.report({"step": step, "loss": 10.0 / step + worker.rank})
    if trial_id == "dies-once" and not (run.root / "died").exists():
        (run.root / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if trial_id in ("sound", "broken"):
        _meet(run)
    if trial_id == "broken":
        raise ValueError("the loss is a banana\nand more of it")


def _meet(run: RunPaths) -> None:
    """Returns only if another trial is in here at the same time."""
    (run.root / f"here-{os.getpid()}").touch()
    deadline = time.monotonic() + 60
    while len(list(run.root.glob("here-*"))) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def checkpoint_of(run: RunPaths, trial_id: str) -> Path:
    """Where `where_it_ran` notes its attempts; what begins so is for the trial's workers alone."""
    return run.trial(trial_id).root / "checkpoint.json"


def where_it_ran(run: RunPaths, trial_id: str, worker: Worker) -> None:
    """Goes on from what an earlier attempt left, wherever that ran."""
    print(f"{trial_id} speaks")
    made = checkpoint_of(run, trial_id)
    attempts = read_json(made, [])
    write_json(made, [*attempts, os.environ["FASHION_SWEEP_SCRATCH"]])
    if trial_id == "dies-once" and not attempts:
        os.kill(os.getpid(), signal.SIGKILL)
    write_json(run.trial(trial_id).result, {"told": run.config.read_text(), "attempts": len(attempts) + 1})
    worker.report({"step": 1, "loss": 1.0})
    _meet_in_storage(run)


def _meet_in_storage(run: RunPaths) -> None:
    """Returns only once every trial has a result, so that one node can't run them all."""
    deadline = time.monotonic() + 100
    while True:
        remote.fetch(run.trials)
        if len(list(run.trials.glob("*/result.json"))) == 2:
            return
        assert time.monotonic() < deadline
        time.sleep(0.2)


def share(run: RunPaths, trial_id: str, worker: Worker) -> None:
    """Notes which process does which of the chunks that lanes share; one that helps dies at its first, once."""
    for number, _ in worker.shared("work", 6):
        if worker.helps and not (run.root / "helper").exists():
            (run.root / "helper").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        (run.root / f"chunk-{number}").write_text(f"{os.getpid()} {worker.helps}")
        time.sleep(0.5)
        deadline = time.monotonic() + 60
        while worker.helps is None and number == 0 and not (run.root / "helper").exists():
            worker.alive()
            assert time.monotonic() < deadline
            time.sleep(0.1)


def make_way(run: RunPaths, trial_id: str, worker: Worker) -> None:
    """Notes what is done, one thing after another."""
    trained = run.root / f"trained-{trial_id}"
    with (run.root / "order").open("a") as file:
        file.write(f"{'judge' if trained.exists() else 'train'} {trial_id}\n")
    if not trained.exists():
        trained.touch()
        if worker.makes_way():
            return
        with (run.root / "order").open("a") as file:
            file.write(f"judge {trial_id}\n")


MANY_STEPS = 300


def count_steps(run: RunPaths, trial_id: str, worker: Worker) -> None:
    """Takes steps until it is told to stop, and notes them."""
    for step in range(1, MANY_STEPS + 1):
        with (run.root / "steps").open("a") as file:
            file.write(f"{step}\n")
        if step == 1:
            worker.report({"step": step, "loss": 1.0})
        worker.check()
        time.sleep(0.1)


def wait_for_ever(run: RunPaths, trial_id: str, worker: Worker) -> None:
    (run.root / "waiting").write_text(str(os.getpid()))
    time.sleep(600)


def refuse_or_hang_once(run: RunPaths, trial_id: str, worker: Worker) -> None:
    if trial_id == "nan":
        raise TrialError("loss=nan at step 1, samples a.jpg")
    if not (run.root / "hung").exists():
        (run.root / "hung").touch()
        time.sleep(600)


def freeze_once(run: RunPaths, trial_id: str, worker: Worker) -> None:
    """Works, and freezes the processes in which Tune waits for it, so that nobody hears of it."""
    if not (run.root / trial_id).exists():
        (run.root / trial_id).touch()
        started = psutil.Process().parent()
        assert started is not None
        named = [one for one in started.children() if any(name in "".join(one.cmdline()) for name in TUNES)]
        assert named
        for process in named:
            process.suspend()
    worker.report({"step": 1, "loss": 1.0})


def freeze_at(folder: Path, number: int, alive: Alive) -> int:
    """Freezes its own process at shard 3, once; works for longer than a worker may stand still at shard 1."""
    for _ in range(45 if number == 1 else 0):
        alive()
        time.sleep(0.1)
    if number == 3 and not (folder / "frozen").exists():
        (folder / "frozen").touch()
        os.kill(os.getpid(), signal.SIGSTOP)
    return number


def square(number: int, alive: Alive) -> int:
    time.sleep(0.05 if number % 2 else 0)  # so that shards do not finish in order
    return number * number


def refuse_three(number: int, alive: Alive) -> int:
    if number == 3:
        raise DataError(f"shard {number}: no such image")
    return number


def process_id(_: int, alive: Alive) -> int:
    return os.getpid()


def die_at(folder: Path, number: int, alive: Alive, times: int) -> int:
    """Kills its own process at shard 3, so often."""
    if number == 3 and len(list(folder.glob("died-*"))) < times:
        (folder / f"died-{os.getpid()}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def wait_in_a_shard(folder: Path, alive: Alive) -> None:
    (folder / "waiting").write_text(str(os.getpid()))
    time.sleep(600)


def threads(_: int, alive: Alive) -> str | None:
    return os.environ.get("OMP_NUM_THREADS")


def work_together(run: RunPaths, trial_id: str, worker: Worker) -> None:
    """Each rank contributes its rank to a sum, and finds something else. Worker 0 has then done its part, and waits for
    longer than a trial may stand still; the other one works on."""
    import torch

    total = torch.tensor([float(worker.rank)])
    torch.distributed.all_reduce(total)
    (run.root / f"sum-{worker.rank}").write_text(f"{worker.world_size} {total.item():g}")
    (run.root / f"agreed-{worker.rank}").write_text(str(worker.agreed(lambda: 7 + worker.rank)))
    Status(run.trial(trial_id), writes=worker.rank == 0, alive=worker.alive).update(
        now=True, state="running", stage="x"
    )
    for _ in range(150 if worker.rank else 1):
        worker.alive()
        time.sleep(0.1)
    torch.distributed.barrier()
    worker.report({"step": 1})
