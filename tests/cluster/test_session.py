import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cluster_jobs as jobs
import psutil
import pytest

from fashion_sweep.cluster import session
from fashion_sweep.cluster.session import ray_session
from fashion_sweep.cluster.shards import map_shards
from fashion_sweep.config import Resources
from fashion_sweep.errors import ConfigError
from fashion_sweep.paths import RunPaths


def test_a_trial_that_can_never_fit_is_a_mistake_in_the_config(tmp_path: Path) -> None:
    with (
        pytest.raises(ConfigError, match=r"1 worker with 1 CPU and 512 GPU each.*resources.gpus_per_worker"),
        ray_session(RunPaths(tmp_path), Resources(gpus_per_worker=512)),
    ):
        pass


def test_beside_another_ray_on_the_machine_the_state_of_a_trial_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", jobs.SEARCH_PATH)
    script = "import ray, sys; ray.init(address='local', num_cpus=1); print('up', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    other = subprocess.Popen([sys.executable, "-c", script], **pipes)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"up\n"
        with ray_session(RunPaths(tmp_path), Resources()):
            assert map_shards(jobs.state_of_this_node, [0], Resources(), lambda done: None) == ["ALIVE"]
    finally:
        other.communicate()  # closes its input, which ends it; Python may drop a Ctrl-C while Ray is at work


@pytest.mark.parametrize(
    ("number", "work"),
    [(signal.SIGINT, "trials"), (signal.SIGTERM, "trials"), (signal.SIGINT, "shards")],
    ids=["ctrl-c", "kill", "ctrl-c-in-shards"],
)
def test_an_interrupt_ends_a_run_in_seconds_and_leaves_no_process(
    tmp_path: Path, number: signal.Signals, work: str
) -> None:
    script = Path(__file__).with_name("interrupted.py")
    process = subprocess.Popen(
        [sys.executable, script, tmp_path, work],
        env=os.environ | {"PYTHONPATH": jobs.SEARCH_PATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    _wait_until((tmp_path / "waiting").exists, timeout_s=120)
    started = psutil.Process(process.pid).children(recursive=True)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does: to all processes of the group
        time.sleep(1)
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, b"interrupted\n", b"")
    assert len(started) > 3
    assert [child for child in started if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_ctrl_c_that_python_drops_while_ray_starts_still_ends_the_run(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    class Interrupted:
        def __del__(self) -> None:  # what is raised here is dropped, as in the callbacks of a fork
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(session, "_start", lambda *_: Interrupted() and None)
    with pytest.raises(KeyboardInterrupt), ray_session(RunPaths(tmp_path), Resources()):
        pytest.fail("the run went on")


def _wait_until(condition, timeout_s: float) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
