"""Tells what a worker's failure means: whether it counts, whether it would come again, and which worker began it."""

import re

import ray.train
from ray.exceptions import OutOfMemoryError, RayActorError

from fashion_sweep.cluster.logs import one_line
from fashion_sweep.errors import FashionSweepError, StorageError, TrialError
from fashion_sweep.run.retries import Attempts

DEATHS = (RayActorError, OutOfMemoryError)
"""The errors by which Ray reports that a process died."""
TOUCH_LOST = re.compile(r"gloo/transport|connection (closed|reset) by peer|NCCL error|NCCL.*timeout", re.IGNORECASE)
"""Messages of torch in a worker whose connection to another worker is gone."""


def class_of_failure(error: Exception) -> type[Exception]:
    """Returns the exception class as which a worker's failure is reported to the driver. What would come again is a
    TrialError; a storage that failed for minutes, or another worker that is gone, is nobody's fault."""
    if isinstance(error, StorageError):
        return StorageError
    if isinstance(error, RuntimeError) and TOUCH_LOST.search(str(error)):
        return ConnectionError
    return TrialError if isinstance(error, FashionSweepError) else RuntimeError


def note_failure(attempts: Attempts, error: Exception) -> None:
    """Notes what `fit` raised: of several workers the one that failed, not those that it pulled along."""
    if isinstance(error, DEATHS):
        attempts.fail("the process that looks after the trial's workers died", counts=False)
        return
    worst = cause_of(error)
    if isinstance(worst, DEATHS):
        attempts.fail(_how_it_died(worst), counts=not is_lost_node(worst))
        return
    own_words = isinstance(worst, TrialError | StorageError) or type(worst) in (RuntimeError, ConnectionError)
    attempts.fail(
        str(worst) if own_words else one_line(worst),
        counts=not isinstance(worst, StorageError | ConnectionError),
        final=isinstance(worst, TrialError),
    )


def cause_of(error: Exception) -> Exception:
    """Returns the failure that is behind what `fit` raised."""
    failures = [error]
    if isinstance(error, ray.train.ControllerError):
        failures = [error.controller_failure]
    elif isinstance(error, ray.train.WorkerGroupError):
        failures = [_unwrapped(failure) for _, failure in sorted(error.worker_failures.items())]
    return next((failure for failure in failures if isinstance(failure, DEATHS)), min(failures, key=_innocence))


def _innocence(failure: Exception) -> int:
    """Returns a rank that is the higher, the likelier the failure was caused by another one."""
    if isinstance(failure, TrialError):
        return 0
    if isinstance(failure, StorageError):
        return 2
    return 3 if isinstance(failure, ConnectionError) else 1


def _unwrapped(failure: Exception) -> Exception:
    for wrapped in ("_base_exc", "health_check_failure"):
        failure = getattr(failure, wrapped, failure)
    return failure


def is_lost_node(death: Exception) -> bool:
    """Returns whether a process died because its node was lost."""
    return getattr(death, "preempted", False) or "node has died" in str(death)


def _how_it_died(death: Exception) -> str:
    if is_lost_node(death):
        return "the node of a worker was lost"
    if "low on memory" in str(death):
        return "a worker was ended since its machine had run out of memory"
    return "a worker was killed, or ran out of memory"
