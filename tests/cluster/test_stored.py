"""Trials of a run in object storage, here `file://`, on two nodes that share nothing else."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import cluster_jobs as jobs
import pytest
from ray.cluster_utils import Cluster

from fashion_sweep.cluster.lanes import lanes
from fashion_sweep.cluster.session import ray_session
from fashion_sweep.cluster.tune import run_trials
from fashion_sweep.config.preset import Resources
from fashion_sweep.errors import ConfigError
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import write_text
from fashion_sweep.storage.sync import in_step

TRIALS = ("dies-once", "other")
pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one node has, another does not see."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def cluster(scratch: Path) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", jobs.SEARCH_PATH)
        yield from _started(scratch, environment)


def _started(scratch: Path, environment: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        dashboard = {"include_dashboard": True, "dashboard_host": "127.0.0.1", "dashboard_port": probe.getsockname()[1]}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **_node(scratch / "head"), **dashboard})
    try:
        for name in ("a", "b"):
            cluster.add_node(num_cpus=1, **_node(scratch / name))
        environment.setenv("RAY_ADDRESS", cluster.address)
        yield cluster
    finally:
        cluster.shutdown()


def _node(scratch: Path) -> dict[str, dict[str, str]]:
    return {"env_vars": {"FASHION_SWEEP_SCRATCH": str(scratch)}}


def test_a_trial_that_can_never_fit_is_a_mistake_in_the_config(cluster: Cluster, tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"1 worker with 1 CPU and 512 GPU each.*resources.gpus_per_worker"),
        ray_session(RunPaths(tmp_path), Resources(gpus_per_worker=512)),
    ):
        pass


def test_trials_go_on_from_what_is_stored_on_whichever_node_they_run(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_SWEEP_RUNS", f"file://{tmp_path}/bucket/runs")
    monkeypatch.setenv("FASHION_SWEEP_SCRATCH", str(tmp_path / "driver"))
    run, resources = RunPaths(runs_root() / "mine"), Resources(max_failures=1)
    remote.current().bucket.check()  # type: ignore[union-attr]
    write_text(run.config, "by the driver")
    with ray_session(run, resources), in_step(run.root, run.log), lanes(run, resources) as kept:
        outcome = run_trials(kept, TRIALS, jobs.where_it_ran)
    assert outcome == dict.fromkeys(TRIALS)
    results = {name: json.loads(run.trial(name).result.read_text()) for name in TRIALS}
    assert results == {name: {"told": "by the driver", "attempts": 1 + (name == "dies-once")} for name in TRIALS}
    assert all(f"{name} speaks" in run.trial(name).log.read_text() for name in TRIALS)
    assert not jobs.checkpoint_of(run, "other").exists()
    remote.fetch(run.trials)
    ran_on = {Path(json.loads(jobs.checkpoint_of(run, name).read_text())[-1]).name for name in TRIALS}
    assert ran_on == {"a", "b"}
    stored = {path.relative_to(tmp_path / "bucket/runs/mine").parts[0] for path in tmp_path.glob("bucket/runs/mine/*")}
    assert stored == {"config.yaml", "log.txt", "ray", "trials"}
