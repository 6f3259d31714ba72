"""Sweeps over several nodes, each with Ray processes of its own, on this machine."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import Any

import cluster_jobs as jobs
import psutil
import pytest
import ray
from safetensors.torch import load_file

from fashion_sweep.cluster.worker import Worker
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.data.sets import open_data
from fashion_sweep.encodings.prepare import make_shard, missing_shards
from fashion_sweep.encodings.real_images import write_real_statistics
from fashion_sweep.planning.plan import resolved, specs_of
from fashion_sweep.run.claim import claimed, new_run
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json, read_json_lines
from fashion_sweep.tasks.sweep import _write_inputs, run_trial

SETTINGS = (
    "data.fashion.rendered_images=200",
    "training.steps=60",
    "training.validation_every=10",
    "training.checkpoint_every=10",
    "training.views=1",
    "generation.num_inference_steps=2",
    "generation.refine_fraction=0",
    "evaluation.samples=160",
    "sweep.trials=[{unet: 1, steps: 5}, {unet: 2}]",
)
SHORT, LONG = "unet-r1-steps5", "unet-r2"
pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, put_world: Callable[[Path, int], None]) -> Iterator[RunPaths]:
    """The sweep in one process without Ray; what it has cached serves the others."""
    runs = tmp_path_factory.mktemp("runs")
    put_world(runs, 200)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FASHION_SWEEP_RUNS", str(runs))
        config = resolved(load_run_config("exp2", "tiny", SETTINGS))
        run = new_run(config, "alone")
        with claimed(run, config):
            _write_inputs(run, config, {"fashion": open_data("fashion", config.preset.data["fashion"])})
            for shard in missing_shards(run, specs_of(config)):
                make_shard(shard)
            write_real_statistics(run)
            for spec in specs_of(config):
                run_trial(run, spec.trial_id, Worker(0, 1, "cpu", lambda: None, lambda _: None))
    return run


@pytest.fixture
def environment(alone: RunPaths, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """For Ray's processes and a run's: as on a real cluster they ask each other for a token."""
    folder = tempfile.mkdtemp(prefix="ray-")  # not pytest's: the path of a socket must be short
    yield os.environ | {
        "HOME": folder,
        "FASHION_SWEEP_RUNS": str(alone.root.parent),
        "PYTHONPATH": jobs.SEARCH_PATH,
        "OMP_NUM_THREADS": "1",
        "RAY_TMPDIR": folder,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    for process in processes_of(folder):
        with suppress(psutil.Error):
            process.kill()
    rmtree(folder, ignore_errors=True)


def test_a_node_that_is_lost_in_mid_training_changes_nothing_about_the_outcome(
    alone: RunPaths, environment: dict[str, str]
) -> None:
    nodes = start([str(Path(__file__).with_name("nodes.py")), "2"], environment)
    try:
        run = RunPaths(alone.root.parent / "together")
        sweep = start_run(run, environment | {"RAY_ADDRESS": said(nodes)})
        wait_until(lambda: run.trial(SHORT).is_over and status(run, LONG).get("step", 0) >= 20, sweep)
        finished = run.trial(SHORT).adapter.stat().st_mtime_ns
        assert status(run, LONG)["stage"] == "training"
        tell(nodes, str(process_of(run, LONG)))
        assert said(nodes).startswith("lost")
        assert sweep.wait(timeout=120) == 0
    finally:
        nodes.communicate(timeout=60)
    for trial_id in (SHORT, LONG):
        assert outcome(run, trial_id) == outcome(alone, trial_id)
    assert run.trial(SHORT).adapter.stat().st_mtime_ns == finished
    assert run.trial(LONG).log.read_text().count(": step 10,") == 1  # it went on from where it was


def test_nodes_come_for_waiting_trials_and_go_when_nothing_is_left_for_them(
    alone: RunPaths, environment: dict[str, str]
) -> None:
    folder = environment["RAY_TMPDIR"]
    address = f"{ray.util.get_node_ip_address()}:{free_port()}"
    config = Path(folder) / "ray_bootstrap_config.yaml"  # as `ray up` does: a run looks there for what may still come
    config.write_text(json.dumps(autoscaled(address)))
    ports = [f"--port={address.rpartition(':')[2]}", f"--ray-client-server-port={free_port()}", "--dashboard-port=0"]
    ports += ["--dashboard-agent-listen-port=0", "--min-worker-port=0", "--max-worker-port=0"]
    arguments = ["-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=0", *ports]
    head = start(
        [*arguments, f"--autoscaling-config={config}"], environment | AS_UP_STARTS_A_HEAD, stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: answers(address), head)
        assert len(raylets(folder)) <= 1
        run = RunPaths(alone.root.parent / "grown")
        settings = ("sweep.judge=[]", "sweep.trials=[{unet: 1, steps: 5}, {unet: 2, steps: 5}]")
        sweep = start_run(run, environment | {"RAY_ADDRESS": address}, *settings)
        wait_until(lambda: len(raylets(folder)) == 3, sweep)
        assert sweep.wait(timeout=120) == 0
        assert all(run.trial(trial_id).is_over for trial_id in ("unet-r1-steps5", "unet-r2-steps5"))
        wait_until(lambda: len(raylets(folder)) == 1, head, timeout_s=60)
    finally:
        head.kill()  # asked to end, it would wait half a minute for its nodes
        head.wait()


HEAD_ID = "f" * 51 + "00000"
AS_UP_STARTS_A_HEAD = {
    "RAY_enable_autoscaler_v2": "1",
    "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
    "RAY_NODE_TYPE_NAME": "ray.head.default",
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_FAKE_CLUSTER": "1",
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
    "RAY_worker_maximum_startup_concurrency": "4",
}


def autoscaled(address: str) -> dict[str, Any]:
    """Of Ray's own provider of nodes that are processes of this machine."""
    provider = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
    worker = {"resources": {"CPU": 1, "object_store_memory": 150 * 2**20}, "node_config": {}}
    kinds = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    return {f"{kind}_commands": [] for kind in kinds} | {
        "cluster_name": "autoscaled",
        "max_workers": 2,
        "idle_timeout_minutes": 0.1,
        "provider": {
            "type": "external",
            "module": provider,
            "gcs_address": address,
            "head_node_id": HEAD_ID,
            "launch_multiple": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": worker | {"min_workers": 0, "max_workers": 2},
        },
        "head_node_type": "ray.head.default",
        "auth": {},
        "file_mounts": {},
        "cluster_synced_files": [],
    }


def free_port() -> int:
    with socket.create_server(("", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with suppress(OSError):
        socket.create_connection((host, int(port)), timeout=1).close()
        return True
    return False


def processes_of(folder: str) -> list[psutil.Process]:
    """All that Ray has started with this folder, whoever their parents are now."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("RAY_TMPDIR") == folder:
                found.append(process)
    return found


def raylets(folder: str) -> list[int]:
    """One a node."""
    found = []
    for process in processes_of(folder):
        with suppress(psutil.Error):
            if process.name() == "raylet" and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


def start(arguments: list[str], environment: dict[str, str], **options: Any) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE} | options
    return subprocess.Popen([sys.executable, *arguments], env=environment, text=True, **pipes)


def start_run(run: RunPaths, environment: dict[str, str], *settings: str) -> subprocess.Popen[str]:
    chosen = [part for setting in (*SETTINGS, *settings) for part in ("--set", setting)]
    arguments = ["-m", "fashion_sweep", "run", "exp2", "--preset", "tiny", "--name", run.name, *chosen]
    return start(arguments, environment, stdin=None, stdout=subprocess.DEVNULL)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def wait_until(condition: Callable[[], bool], sweep: subprocess.Popen[str], timeout_s: float = 240) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        assert sweep.poll() is None
        time.sleep(0.1)


def status(run: RunPaths, trial_id: str) -> dict[str, Any]:
    return read_json(run.trial(trial_id).status, {})


def process_of(run: RunPaths, trial_id: str) -> int:
    """The worker that trains it: the one whose output is the trial's log."""
    log = str(run.trial(trial_id).log)
    for process in psutil.process_iter():
        try:
            if "TrainWorker" in " ".join(process.cmdline()) and os.readlink(f"/proc/{process.pid}/fd/1") == log:
                return process.pid
        except (psutil.Error, OSError):
            continue
    raise AssertionError(f"no worker trains {trial_id}")


def outcome(run: RunPaths, trial_id: str) -> tuple[dict[str, bytes], Any, list[tuple[float, float]]]:
    paths = run.trial(trial_id)
    adapter = {name: tensor.numpy().tobytes() for name, tensor in load_file(paths.adapter).items()}
    losses = [(line["step"], line["val_loss"]) for line in read_json_lines(paths.metrics)]
    return adapter, read_json(paths.result)["evaluations"], losses
