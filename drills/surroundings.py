"""What a run is put into: a cluster of several nodes, a small disk, a clock that jumps, an MLflow server."""

import os
import platform
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from drills.sweep_run import SweepRun

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
"""Debian's package faketime."""


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
    host, port = "127.0.0.1", _free_port()
    SERVERS[str(root)] = Server(root, port)
    SERVERS[str(root)].start()
    try:
        yield {"MLFLOW_TRACKING_URI": f"http://{host}:{port}"}
    finally:
        SERVERS.pop(str(root)).kill()


@dataclass
class Server:
    """`mlflow server` on this machine's loopback address."""

    root: Path
    port: int
    process: Any = None

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.root}/server.db", "--host", "127.0.0.1"]
        command += ["--artifacts-destination", f"{self.root}/server"]
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.root / "server.log").open("ab") as log:
            self.process = psutil.Popen(command, stdout=log, stderr=log, env=environment)

    def wait(self, timeout_s: float = 90) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.2)
        raise TimeoutError(f"the MLflow server does not answer; see {self.root}/server.log")

    def kill(self) -> None:
        for process in [*self.process.children(recursive=True), self.process]:
            process.kill()
        self.process.wait()


SERVERS: dict[str, Server] = {}
"""By root of the run."""


def kill_mlflow_server(run: SweepRun, processes: Any = ()) -> None:
    SERVERS[str(run.root)].kill()


def restart_mlflow_server(run: SweepRun, processes: Any = ()) -> None:
    SERVERS[str(run.root)].start()


def synced(run: SweepRun) -> str | None:
    """What is wrong with `sync` after the run, once the server is back."""
    restart_mlflow_server(run)
    SERVERS[str(run.root)].wait()
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
def watched_memory(root: Path) -> Iterator[Mapping[str, str]]:
    """Ray ends workers when the machine uses 10 GB more than now."""
    memory = psutil.virtual_memory()
    share = (memory.total - memory.available + 8e9) / memory.total
    yield {"RAY_memory_usage_threshold": f"{share:.3f}", "RAY_memory_monitor_refresh_ms": "100"}


HOG = "import time; held = [b'x' * 500_000_000 for _ in range(20)]; time.sleep(600)"
"""10 GB."""


@contextmanager
def settable_clock(root: Path) -> Iterator[Mapping[str, str]]:
    """`set_clock` moves the wall clock of the run's processes; the monotonic one goes on as it does."""
    set_clock(root, "+0")
    yield {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(root / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def set_clock(root: Path, offset: str) -> None:
    """offset: for instance `+1d` or `-2h`."""
    (root / "clock").write_text(offset + "\n")


def machine() -> str:
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return f"on {len(os.sched_getaffinity(0))} cores of {cpu.partition(':')[2].strip() or platform.machine()}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
