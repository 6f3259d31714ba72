"""Runs Ray for the length of a `with` block: a cluster named by RAY_ADDRESS, else one on this machine."""

import os
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import ray
from ray._private.services import get_ray_address_from_environment

from fashion_sweep.cluster.capacity import check_that_a_trial_fits, ray_address, thread_counts
from fashion_sweep.cluster.interrupt import impatient_interrupt, late_interrupt
from fashion_sweep.cluster.logs import FORMAT, one_line, ray_logs_to
from fashion_sweep.cluster.loopback import HERE, address_of_its_own, no_cluster, private_token
from fashion_sweep.cluster.ray_liveness import guarding, is_alive
from fashion_sweep.config.preset import Resources
from fashion_sweep.errors import ConfigError, RunError
from fashion_sweep.process import OURS
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import private_folder

QUIET_AND_QUICK = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Train's controller looks after its workers this often; what they report does not go through it.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    # A lane waits for its place with its controller started; that is no failure, however long it takes.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "1000000",
    # Relative paths mean the same in the workers as here.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the new one prints its table's head even when told to be silent
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # The last report of a trial, judged or failed, has no loss for the scheduler of a search, and needs none.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
}

LONGEST_TMPDIR = 60
"""The longest `$TMPDIR` in bytes. A socket's path has 107 at most, of which names below it take up to 40."""
ANSWER_S = 5.0
"""The seconds that a cluster may take to answer."""
STOP_S = 3.0
"""The seconds that Ray's processes may take to end by themselves."""


@contextmanager
def ray_session(run: RunPaths, resources: Resources) -> Iterator[str]:
    """Runs Ray for the trials of `run`. Ray's own words go to `run.log`; its processes are gone when the block is left.

    Yields:
        Where it is, and who can reach it.

    Raises:
        ConfigError: the cluster does not answer, or one trial needs more than it has.
        RunError: no Ray could be started here.
    """
    stored = remote.current()
    runs = {"FASHION_SWEEP_RUNS": stored.bucket.url if stored else str(runs_root())}
    variables = OURS | QUIET_AND_QUICK | thread_counts(resources) | runs
    with impatient_interrupt() as interrupt, ray_logs_to(run.log), _environment(variables):
        children_before, started = _children(), set[psutil.Process]()
        try:
            try:
                # Not held back: a Ctrl-C reaches the dashboard's processes too, for which Ray would then wait in vain.
                where = _start(resources, variables)
            finally:
                started = _children() - children_before
            interrupt.check()
            # The handler again, since Ray's start puts one of its own in place of ours.
            with impatient_interrupt(), guarding(run, started):
                check_that_a_trial_fits(resources)
                yield where
        finally:
            with late_interrupt():
                _stop(started)


def _start(resources: Resources, variables: dict[str, str]) -> str:
    address = ray_address()
    if address != "local":
        return _connect(address, variables)
    folder = private_folder(Path("/tmp") / f"ray-{os.getuid()}")  # no longer, for its sockets
    private_token()
    try:
        with _environment(address_of_its_own() | _short_temporary_folder(folder)), no_cluster():
            ray.init(
                address="local",
                num_cpus=max(_cores(), resources.workers_per_trial * resources.cpus_per_worker),
                include_dashboard=False,  # ten processes that take a core for as long as all else takes to start
                _temp_dir=str(folder / "ray"),  # which Ray opens to everybody
                log_to_driver=False,
                logging_format=FORMAT,
            )
    except Exception as error:  # of no class of its own; on a machine too busy to start it within its 30 seconds
        raise RunError(f"Ray did not start on this machine: {one_line(error)}") from error
    return f"Ray: on this machine, for this machine only ({HERE})"


def _short_temporary_folder(folder: Path) -> dict[str, str]:
    """Returns a short `TMPDIR`, if this one is too long for sockets, of which Ray's dashboard has some."""
    return {"TMPDIR": str(folder)} if len(os.fsencode(tempfile.gettempdir())) > LONGEST_TMPDIR else {}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _connect(address: str, variables: dict[str, str]) -> str:
    try:
        if address == "auto":  # found here, since Ray itself looks for it for a minute
            with _environment({"RAY_ADDRESS": None}):
                address = get_ray_address_from_environment("auto", None)
        if ":" in address:  # asked first, since Ray itself knocks for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
        ray.init(address=address, runtime_env={"env_vars": variables}, log_to_driver=False, logging_format=FORMAT)
    except (OSError, ValueError) as error:
        where = "on this machine" if address == "auto" else f"at {address!r}"
        raise ConfigError(
            f"RAY_ADDRESS: no Ray cluster answers {where}; start it, or unset RAY_ADDRESS to use this machine"
        ) from error
    return f"Ray: the cluster at {address}"


def _stop(started: set[psutil.Process]) -> None:
    """Shuts Ray down; the workers are grandchildren that go on their own account, so they are waited for."""
    processes = [process for child in started for process in (child, *_descendants(child))]
    ray.shutdown()
    deadline = time.monotonic() + STOP_S
    while alive := [process for process in processes if is_alive(process)]:
        if time.monotonic() > deadline:
            for process in alive:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        time.sleep(0.05)


def _children() -> set[psutil.Process]:
    return set(psutil.Process().children())


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


@contextmanager
def _environment(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Sets environment variables, which a Ray started here hands to all workers faster than its `runtime_env` would."""
    before = {name: os.environ.get(name) for name in variables}
    _set(variables)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    """Sets environment variables; None removes one."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
