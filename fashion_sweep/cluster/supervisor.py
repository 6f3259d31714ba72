"""Runs a trial as a Ray Tune function that has Ray Train run its workers."""

import faulthandler
import importlib
import logging
import queue
import sys
import threading
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, TypeAlias

import ray
import ray.train
from ray import tune
from ray.util.queue import Queue

from fashion_sweep.cluster.capacity import worker_resources
from fashion_sweep.cluster.failures import class_of_failure, note_failure
from fashion_sweep.cluster.hangs import ACTOR, SignOfLife
from fashion_sweep.cluster.logs import log_of, one_line, worker_output_to
from fashion_sweep.cluster.ray_storage import forget, ray_storage
from fashion_sweep.cluster.worker import Worker
from fashion_sweep.config.preset import Resources
from fashion_sweep.errors import StorageError
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.retries import Attempts, clear_away
from fashion_sweep.run.stage_inputs import fetch_for_trial, fetch_standing
from fashion_sweep.run.status import Status
from fashion_sweep.storage import remote
from fashion_sweep.storage.sync import appended

DottedName: TypeAlias = tuple[str, str]
"""The module and name of a function: by name, so that only workers import what it needs, seconds for each process."""
POLL_S = 0.5
PATIENCE_S = 24 * 3600
"""The seconds a worker waits for the others, who may be judging thousands of images; a dead one is noticed at once."""
MEETING_S = 600.0
"""The seconds that the workers of a trial, all started, wait to meet."""
FAILED_STARTS = 5
"""The number of times workers that die before they have begun are started again; Train's default is for ever."""


def run_trial_on_workers(run: RunPaths, trial_id: str, resources: Resources, train_fn: DottedName) -> None:
    """Trains `trial_id` as the Tune function's body, again where that fails, and passes its reports on to Tune.

    A trial that failed for good ends like any other, with a last report that carries `error`. What Tune itself tries
    again is only a trial whose own process died.
    """
    try:
        error = _until_done(run, trial_id, resources, train_fn)
    except (OSError, StorageError) as failure:  # of the run folder; to begin again would only meet it again
        error = one_line(failure)
    if error is not None:
        with suppress(OSError, StorageError):  # where nothing can be written, the driver says it
            Status(run.trial(trial_id)).fail(error)
        tune.report({"step": 0, "error": error})


def _until_done(run: RunPaths, trial_id: str, resources: Resources, train_fn: DottedName) -> str | None:
    """Trains until the trial is done or no attempt is left; returns None, or what made the last attempt fail."""
    paths = run.trial(trial_id)
    fetch_standing(paths)
    if paths.result.is_file():  # it was over when this trial's process died
        clear_away(paths)
        return None
    attempts = Attempts(paths)
    # On this node: lost with another one, it would take a trial along that did not run there.
    here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    sign = SignOfLife(paths, ACTOR, resources.stall_minutes * 60)
    while attempts.begin(resources.max_failures):
        remote.remove_folder(paths.signs_of_life)
        fetch_standing(paths)  # which the workers of the last attempt wrote
        Status(paths).start()
        reports = Queue(actor_options={"num_cpus": 0, "label_selector": here})
        training = _Training(_trainer(run, trial_id, resources, train_fn, reports))
        _pass_on(reports, training, sign)
        if training.error is None:
            attempts.succeed()
            clear_away(paths)
            return None
        note_failure(attempts, training.error)
    return attempts.last_error


class _Training(threading.Thread):
    """Runs `fit` beside the thread that talks to Tune, so that a slow Tune never holds up the workers."""

    def __init__(self, trainer: Any) -> None:
        super().__init__(daemon=True)
        self.trainer = trainer
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self.trainer.fit()
        except Exception as error:
            self.error = error


def _pass_on(reports: Queue, training: threading.Thread, sign: SignOfLife) -> None:
    """Passes a trial's reports on to Tune until the training is over."""
    alive = True
    while alive:
        alive = training.is_alive()  # asked before draining: what came in between is drained in one more round
        try:
            while True:
                tune.report(reports.get(timeout=POLL_S if alive else 0.01))
        except queue.Empty:
            with suppress(OSError, StorageError):  # the next one may get through
                sign.give()


class _Bridge(ray.train.UserCallback):
    """Hands rank 0's reports from Train's controller to the Tune function."""

    def __init__(self, reports: Queue) -> None:
        self.reports = reports

    def after_report(self, run_context: Any, metrics: list[dict[str, float]], checkpoint: Any) -> None:
        self.reports.put(metrics[0])


def _trainer(run: RunPaths, trial_id: str, resources: Resources, train_fn: DottedName, reports: Queue) -> Any:
    from ray.train.torch import TorchTrainer

    from fashion_sweep.cluster.loopback import on_this_machine_only
    from fashion_sweep.cluster.process_group import Torch, TorchOnThisMachine

    name = f"{run.name}-{trial_id}"
    # Train would restore this, and fail at once if it was cut short; the run folder has what a trial goes on from.
    forget(run, f"{name}/checkpoint_manager_snapshot.json")
    return TorchTrainer(
        partial(_work, run, trial_id, resources.stall_minutes * 60, *train_fn),
        torch_config=(TorchOnThisMachine if on_this_machine_only() else Torch)(timeout_s=int(MEETING_S)),
        scaling_config=ray.train.ScalingConfig(
            num_workers=resources.workers_per_trial,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=worker_resources(resources),
        ),
        run_config=ray.train.RunConfig(
            name=name,
            **ray_storage(run),
            failure_config=ray.train.FailureConfig(max_failures=0, controller_failure_limit=FAILED_STARTS),
            callbacks=[_Bridge(reports)],
        ),
    )


def _work(run: RunPaths, trial_id: str, patience_s: float, module: str, function: str) -> None:
    """Trains a trial in a worker process."""
    from ray.train.torch import get_device
    from torch import distributed

    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    distributed.set_timeout(timedelta(seconds=PATIENCE_S), distributed.group.WORLD)
    paths = run.trial(trial_id)
    sign = SignOfLife(paths, str(rank), patience_s)

    def alive() -> None:
        """Gives a sign of life; should none follow, the log shows where the worker hangs, before it is ended."""
        faulthandler.dump_traceback_later(0.9 * patience_s, file=sys.stderr)
        sign.give()

    alive()
    fetch_for_trial(run, paths)
    if remote.current() and world_size > 1:  # what one has kept of an attempt that was cut short is for all
        distributed.barrier()
        fetch_for_trial(run, paths)
    log = log_of(paths, rank)
    worker_output_to(log, rank)

    alive()  # again, for now there is a log
    Status(paths, writes=rank == 0).arrive()
    with appended(log):
        try:
            train_fn = getattr(importlib.import_module(module), function)
            train_fn(run, trial_id, Worker(rank, world_size, str(get_device()), alive, _report))
            return
        except Exception as error:
            logging.getLogger(__name__).exception("%s failed", trial_id)
            # Unlike the original, these are sure to survive the way to the driver.
            failure = class_of_failure(error)(one_line(error))
        finally:
            faulthandler.cancel_dump_traceback_later()
    raise failure


def _report(metrics: dict[str, float]) -> None:
    assert "step" in metrics
    ray.train.report(metrics)
