"""What a run is put into: a cluster of several nodes, a small disk, a clock that jumps, an MLflow server."""

import os
import platform
import struct
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from drills.sweep_run import SweepRun
from drills.tracking_server import Server


@contextmanager
def cluster(root: Path, nodes: int = 3) -> Iterator[Mapping[str, str]]:
    """Ray on several nodes of one CPU each; the head has none to give."""
    from ray.cluster_utils import Cluster

    ray = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": True})
    NODES[str(root)] = [ray.add_node(num_cpus=1) for _ in range(nodes)]
    try:
        yield {"RAY_ADDRESS": ray.address}
    finally:
        del NODES[str(root)]
        ray.shutdown()


NODES: dict[str, list[Any]] = {}
"""By root of the run: the nodes that may be lost."""


@contextmanager
def mlflow_server(root: Path) -> Iterator[Mapping[str, str]]:
    server = SERVERS[str(root)] = Server(root / "mlflow-server")
    server.start()
    try:
        yield {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{server.port}"}
    finally:
        SERVERS.pop(str(root)).kill()


SERVERS: dict[str, Server] = {}
"""By root of the run."""


def kill_mlflow_server(run: SweepRun, processes: Any = ()) -> None:
    SERVERS[str(run.root)].kill()


def start_mlflow_server(run: SweepRun, processes: Any = ()) -> None:
    SERVERS[str(run.root)].start()


def synced(run: SweepRun) -> str | None:
    """What is wrong with `sync` after the run, once the server is back."""
    start_mlflow_server(run)
    run.sync()
    return run.last_line() if run.finish() else None


@contextmanager
def small_disk(root: Path) -> Iterator[Mapping[str, str]]:
    """A file system of its own, in memory; needs root's rights."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(root)], check=True)
    try:
        yield {}
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


@contextmanager
def writable_in_the_end(root: Path) -> Iterator[Mapping[str, str]]:
    """Whatever was made immutable below."""
    try:
        yield {}
    finally:
        subprocess.run(["chattr", "-R", "-f", "-i", str(root)], check=False)


@contextmanager
def watched_memory(root: Path) -> Iterator[Mapping[str, str]]:
    """Ray ends workers when the machine uses 8 GB more than now."""
    memory = psutil.virtual_memory()
    share = min(0.98, (memory.total - memory.available + 8e9) / memory.total)
    yield {"RAY_memory_usage_threshold": f"{share:.3f}", "RAY_memory_monitor_refresh_ms": "100"}


HOG = "import time; held = [b'x' * 500_000_000 for _ in range(20)]; time.sleep(600)"
"""10 GB."""


@contextmanager
def settable_clock(root: Path) -> Iterator[Mapping[str, str]]:
    """`set_clock` moves the wall clock of the run's processes; the monotonic one goes on as it does. Needs `cc`."""
    set_clock(root, 0)
    library = root / "set_clock.so"
    source = Path(__file__).with_name("set_clock.c")
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    yield {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(root / "set-clock")}


def set_clock(root: Path, days: int) -> None:
    """From what it truly is. Written over: the processes have the file mapped."""
    path = root / "set-clock"
    path.touch()
    with path.open("r+b") as file:
        file.write(struct.pack("l", days * 86_400))


def machine() -> str:
    known = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    cpu = next((line for line in known if line.startswith("model name")), "")
    return f"on {len(os.sched_getaffinity(0))} cores of {cpu.partition(':')[2].strip() or platform.machine()}"
