"""A sweep beside the same trials by plain processes, one a core, that take one trial after another, without Ray.

    python benchmarks/plain.py                                     # exp2, about ten minutes
    python benchmarks/plain.py --steps 50 --images 160

The sweep runs first. Then the plain processes get a copy of its folder as it was prepared, and call what its lanes
call. Compared is the time from the end of preparing to the report; of the sweep Ray's start and end are in it.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

WORK = """
import sys
from fashion_sweep.cluster.worker import Worker
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.tasks.sweep import run_trial
from pathlib import Path
for trial_id in sys.argv[2:]:
    run_trial(RunPaths(Path(sys.argv[1])), trial_id, Worker(0, 1, "cpu", lambda: None, lambda values: None))
"""


def sweep(arguments: list[str], folder: Path) -> tuple[float, float]:
    """Runs a sweep in `folder`; returns its seconds without preparing and report, and those in all."""
    environment = os.environ | {"FASHION_SWEEP_RUNS": str(folder), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "fashion_sweep", "run", *arguments, "--name", "sweep"]
    started = time.monotonic()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "writing the report" in line:
                until_report = time.monotonic() - started
    if running.returncode:
        sys.exit(f"the sweep ended with {running.returncode}")
    prepared = json.loads((folder / "sweep/results.json").read_text())["seconds"]["prepare"]
    return until_report - prepared, time.monotonic() - started


def plain(folder: Path) -> float:
    """Does the trials of the sweep in `folder` again, in plain processes; returns their seconds."""
    prepared, again = folder / "sweep", folder / "plain"
    shutil.copytree(prepared, again, ignore=shutil.ignore_patterns("trials", "ray", "results*", "report*", "mlflow*"))
    trials = sorted(path.name for path in (prepared / "trials").iterdir())
    cores = len(os.sched_getaffinity(0))
    environment = os.environ | {
        "FASHION_SWEEP_RUNS": str(folder),
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    started = time.monotonic()
    running = [
        subprocess.Popen([sys.executable, "-c", WORK, str(again), *trials[core::cores]], env=environment)
        for core in range(cores)
    ]
    ended = [one.wait() for one in running]
    if any(ended):
        sys.exit("a plain process failed")
    return time.monotonic() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweep", default="exp2")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--set", action="append", default=[], help="further settings, as for run")
    known = parser.parse_args()
    settings = [f"training.steps={known.steps}", f"evaluation.samples={known.images}", *known.set]
    arguments = [known.sweep, *(word for setting in settings for word in ("--set", setting))]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ours, total = sweep(arguments, folder)
        theirs = plain(folder)
    table = Table("", "seconds", "ratio", title=f"{known.sweep}, {known.steps} steps, {known.images} images")
    table.add_row("plain processes", f"{theirs:.0f}", "1")
    table.add_row("sweep, from the end of preparing to the report", f"{ours:.0f}", f"{ours / theirs:.2f}")
    table.add_row("sweep in all", f"{total:.0f}", "")
    Console().print(table)


if __name__ == "__main__":
    main()
