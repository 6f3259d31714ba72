import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import cluster_jobs as jobs
import psutil
import pytest
import ray

from fashion_sweep.cluster import session
from fashion_sweep.cluster.lanes import lanes
from fashion_sweep.cluster.session import ray_session
from fashion_sweep.cluster.shards import map_shards
from fashion_sweep.config.preset import Resources
from fashion_sweep.errors import ConfigError
from fashion_sweep.run.paths import RunPaths

pytestmark = pytest.mark.xdist_group("ray")


def test_without_a_cluster_to_be_found_that_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setattr(ray._private.services, "find_gcs_addresses", lru_cache(set))  # not those that run
    monkeypatch.setattr(ray._private.services, "find_bootstrap_address", lambda _: None)
    with (
        pytest.raises(ConfigError, match="RAY_ADDRESS: no Ray cluster answers on this machine; start it, or unset"),
        ray_session(RunPaths(tmp_path), Resources()),
    ):
        pass


def test_beside_another_ray_lanes_work_and_nothing_can_be_reached_from_another_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", jobs.SEARCH_PATH)
    script = "import ray, sys; ray.init(address='local', num_cpus=1); print('up', flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    other = subprocess.Popen([sys.executable, "-c", script], **pipes)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == b"up\n"
        others = psutil.Process().children(recursive=True)
        run = RunPaths(tmp_path)
        with ray_session(run, Resources()) as where, lanes(run, Resources()) as kept:
            assert map_shards(jobs.square, [3], kept, lambda done: None) == [9]
            processes = {psutil.Process(), *psutil.Process().children(recursive=True)}.difference(others)
            sockets = [one for process in processes for one in _listening(process)]
            folder = Path(ray._private.worker._global_node.get_session_dir_path()).parents[1]
    finally:
        other.communicate()  # closes its input, which ends it; Python may drop a Ctrl-C while Ray is at work
    assert len(sockets) > 8
    assert {one.laddr.ip for one in sockets} <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert where == "Ray: on this machine, for this machine only (127.0.0.1)"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (Path.home() / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600


def _listening(process: psutil.Process) -> list[Any]:
    with suppress(psutil.Error):
        return [one for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN]
    return []


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
    assert (process.returncode, out, err) == (0, b"interrupted\n", b"stopping ...\n")
    assert len(started) > 3
    assert [child for child in started if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []


DIES = """
import sys, time, psutil
from pathlib import Path
from fashion_sweep.cluster.session import ray_session
from fashion_sweep.config.preset import Resources
from fashion_sweep.errors import RunError
from fashion_sweep.run.paths import RunPaths

for vital in sys.argv[2:]:
    try:
        with ray_session(RunPaths(Path(sys.argv[1])), Resources()):
            (process,) = (child for child in psutil.Process().children() if child.name() == vital)
            process.kill()
            time.sleep(60)
    except RunError as error:
        print(error)
"""


def test_a_ray_that_died_ends_the_run_with_the_way_on(tmp_path: Path) -> None:
    # In a process of its own, which Ray may end as a whole a minute after its GCS is gone.
    vital = ["raylet", "gcs_server"]
    command = [sys.executable, "-c", DIES, str(tmp_path / "mine"), *vital]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    way_on = "died on this machine; python -m fashion_sweep resume mine goes on from here"
    assert [line for line in done.stdout.splitlines() if way_on in line] == [f"Ray's {name} {way_on}" for name in vital]


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


def test_tune_hands_on_no_keys_that_ray_would_write_into_its_logs() -> None:
    from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE

    from fashion_sweep.cluster import tune  # noqa: F401

    assert not {name for name in ENV_VARS_TO_PROPAGATE if name.startswith("AWS")}
