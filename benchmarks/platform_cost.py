"""What a run costs by process: the CPU-seconds of trials' workers, of Ray, of Tune, of the driver, and of all else.

    python benchmarks/platform_cost.py run exp2
    python benchmarks/platform_cost.py run exp2 --set training.steps=50 --set evaluation.samples=64

Runs `python -m fashion_sweep` with these arguments, in a folder of its own that is removed afterwards, and looks at its
processes twice a second. What a process that ended had spent since the last look is missing: at most half a second.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

LOOK_EVERY_S = 0.5
KINDS = {
    "trials' workers": r"RayTrainWorker",
    "Train's controller": r"TrainController",
    "Train's other actors": r"SynchronizationActor|AutoscalingCoordinator",
    "Tune's trials": r"ResourceTrainable|WithDesk",
    "desk": r"ray::Desk",
    "raylet and GCS": r"raylet/raylet |gcs_server/gcs_server|^raylet$|^gcs_server$",
    "dashboard": r"ray-dashboard|dashboard.py|ray::DashboardAgent|dashboard_agent|runtime_env_agent|RuntimeEnvAgent",
    "log monitor": r"log_monitor",
    "idle or starting workers": r"ray::IDLE|default_worker\.py",
    "driver": r"fashion_sweep",
    "processes that render": r"multiprocessing|spawn_main",
}


@dataclass
class Watched:
    """The CPU-seconds by kind of process, of a process and all that it started."""

    root: psutil.Process
    by_kind: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _last: dict[psutil.Process, float] = field(default_factory=dict)

    def look(self) -> None:
        """Adds what was spent since the last look; a process that was seen once is followed whoever its parent is."""
        with suppress(psutil.NoSuchProcess):
            for process in (self.root, *self.root.children(recursive=True)):
                self._last.setdefault(process, 0.0)
        for process, before in list(self._last.items()):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                times = process.cpu_times()
                spent = times.user + times.system
                self.by_kind[kind_of(" ".join(process.cmdline()) or process.name())] += spent - before
                self._last[process] = spent


def kind_of(command: str) -> str:
    """Returns what a process is for, by its command line."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, command)), "other")


def measure(arguments: list[str], folder: Path) -> tuple[dict[str, float], dict[str, float], float]:
    """Runs the command in `folder`; returns the CPU-seconds by kind, its own seconds by stage, and those in all."""
    environment = os.environ | {"FASHION_SWEEP_RUNS": str(folder)}
    started = time.monotonic()
    with subprocess.Popen([sys.executable, "-m", "fashion_sweep", *arguments], env=environment) as command:
        watched = Watched(psutil.Process(command.pid))
        while command.poll() is None:
            watched.look()
            time.sleep(LOOK_EVERY_S)
    if command.returncode:
        sys.exit(command.returncode)
    total = time.monotonic() - started
    newest = max(folder.glob("*/results.json"), key=os.path.getmtime, default=None)
    return watched.by_kind, json.loads(newest.read_text())["seconds"] if newest else {}, total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="the runs folder to use and keep, with the data that it holds")
    known, arguments = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = known.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        by_kind, stages, total = measure(arguments or ["run", "exp2"], folder)
    table = Table("process", "CPU-seconds", "share", title=f"{total:.0f} s in all, {os.cpu_count()} cores")
    spent = sum(by_kind.values())
    for kind, seconds in sorted(by_kind.items(), key=lambda item: -item[1]):
        table.add_row(kind, f"{seconds:.1f}", f"{seconds / spent:.0%}")
    table.add_row("all", f"{spent:.1f}", f"{spent / total / (os.cpu_count() or 1):.0%} of the cores' time")
    console = Console()
    console.print(table)
    console.print("; ".join(f"{name} {seconds:.1f} s" for name, seconds in stages.items()))


if __name__ == "__main__":
    main()
