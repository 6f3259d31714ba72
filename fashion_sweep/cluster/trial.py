"""A trial as a Ray Tune function that has Ray Train run its workers."""

import importlib
import logging
import queue
import threading
from functools import partial
from typing import Any, TypeAlias

import ray.train
from ray import tune
from ray.exceptions import RayActorError
from ray.util.queue import Queue

from fashion_sweep.cluster.capacity import worker_resources
from fashion_sweep.cluster.logs import one_line, worker_output_to
from fashion_sweep.cluster.worker import Worker
from fashion_sweep.config import Resources
from fashion_sweep.errors import TrialError
from fashion_sweep.paths import RunPaths
from fashion_sweep.status import Status

DottedName: TypeAlias = tuple[str, str]
"""Module and function. By name, so that only workers import what the function needs: seconds for each process."""
POLL_S = 0.5
PATIENCE_S = 24 * 3600
"""For which a worker waits for the others, who may be judging thousands of images; one that dies is known at once."""
FAILED_STARTS = 5
"""How often workers that die before they have begun are started again; Train's default is for ever."""


def run_trial_on_workers(run: RunPaths, trial_id: str, resources: Resources, train_fn: DottedName) -> None:
    """Body of the Tune function: trains `trial_id` and passes its reports on to Tune.

    A trial that failed ends like any other, with a last report that carries `error`: raised, it would be tried again
    by Tune on top of Train's own retries. What Tune tries again is then only a trial whose own process died.
    """
    Status(run.trial(trial_id)).start()
    reports = Queue(actor_options={"num_cpus": 0})
    training = _Training(_trainer(run, trial_id, resources, train_fn, reports))
    last = _pass_on(reports, training)
    if training.error is not None:
        tune.report({"step": 0, **last, "error": _original(training.error)})


class _Training(threading.Thread):
    """`fit` beside the thread that talks to Tune, so that a slow Tune never holds up the workers."""

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


def _pass_on(reports: Queue, training: threading.Thread) -> dict[str, float]:
    """Reports to Tune until the training is over; returns the last report."""
    last: dict[str, float] = {}
    alive = True
    while alive:
        alive = training.is_alive()  # asked before draining: what came in between is drained in one more round
        try:
            while True:
                last = reports.get(timeout=POLL_S if alive else 0.01)
                tune.report(last)
        except queue.Empty:
            pass
    return last


class _Bridge(ray.train.UserCallback):
    """In Train's controller: hands rank 0's reports to the Tune function."""

    def __init__(self, reports: Queue) -> None:
        self.reports = reports

    def after_report(self, run_context: Any, metrics: list[dict[str, float]], checkpoint: Any) -> None:
        self.reports.put(metrics[0])


def _trainer(run: RunPaths, trial_id: str, resources: Resources, train_fn: DottedName, reports: Queue) -> Any:
    from ray.train.torch import TorchConfig, TorchTrainer

    from fashion_sweep.cluster.loopback import on_this_machine_only
    from fashion_sweep.cluster.torch_here import TorchOnThisMachine

    name = f"{run.name}-{trial_id}"
    # Train would restore this, and fail at once if it was cut short; the run folder has what a trial goes on from.
    (run.ray / name / "checkpoint_manager_snapshot.json").unlink(missing_ok=True)
    return TorchTrainer(
        partial(_work, run, trial_id, *train_fn),
        torch_config=(TorchOnThisMachine if on_this_machine_only() else TorchConfig)(timeout_s=PATIENCE_S),
        scaling_config=ray.train.ScalingConfig(
            num_workers=resources.workers_per_trial,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=worker_resources(resources),
        ),
        run_config=ray.train.RunConfig(
            name=name,
            storage_path=str(run.ray),
            failure_config=ray.train.FailureConfig(
                max_failures=resources.max_failures, controller_failure_limit=FAILED_STARTS
            ),
            callbacks=[_Bridge(reports)],
        ),
    )


def _work(run: RunPaths, trial_id: str, module: str, function: str) -> None:
    """Body of a worker process."""
    from ray.train.torch import get_device

    context = ray.train.get_context()
    rank = context.get_world_rank()
    worker_output_to(run.trial(trial_id).log, rank)
    try:
        train_fn = getattr(importlib.import_module(module), function)
        train_fn(run, trial_id, Worker(rank, context.get_world_size(), str(get_device()), _report))
    except Exception as error:
        logging.getLogger(__name__).exception("%s failed", trial_id)
        raise TrialError(one_line(error)) from None  # unlike the original, sure to survive the way to the driver


def _report(metrics: dict[str, float]) -> None:
    assert "step" in metrics
    ray.train.report(metrics)


def _original(error: Exception) -> str:
    """The line to show for what `fit` raised: of several workers, the one that failed, not those it pulled along."""
    if isinstance(error, ray.train.ControllerError):
        return one_line(error.controller_failure)
    if not isinstance(error, ray.train.WorkerGroupError):
        return one_line(error)
    failures = {rank: _unwrapped(failure) for rank, failure in sorted(error.worker_failures.items())}
    for rank, failure in failures.items():
        if isinstance(failure, RayActorError):
            return f"WorkerDied: worker {rank} of the trial was killed, or ran out of memory"
    first = next(iter(failures.values()))
    return str(first) if isinstance(first, TrialError) else one_line(first)


def _unwrapped(failure: Exception) -> Exception:
    return getattr(failure, "_base_exc", failure)
