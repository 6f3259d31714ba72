"""What is noted of an attempt, by what became of its workers."""

import pytest
import ray.train
from ray.exceptions import ActorDiedError, ActorUnavailableError

from fashion_sweep.cluster.failures import class_of_failure, note_failure
from fashion_sweep.errors import DataError, StorageError, TrialError
from fashion_sweep.run.paths import TrialPaths
from fashion_sweep.run.retries import Attempts

DEATH, LOST_NODE = ActorDiedError(), ActorUnavailableError("its node has died", None)
OWN = TrialError("TrialError: loss=nan at step 12")
BUG = RuntimeError("ValueError: the loss is a banana")
STORAGE = StorageError("StorageError: s3://b fails since 300 s")
TOUCH = ConnectionError("RuntimeError: [gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.0.0.2]:1234")


@pytest.mark.parametrize(
    ("workers", "error", "counts", "final"),
    [
        ((BUG,), "ValueError: the loss is a banana", True, False),
        ((TOUCH, BUG), "ValueError: the loss is a banana", True, False),
        ((TOUCH, OWN), "TrialError: loss=nan at step 12", True, True),
        ((TOUCH, DEATH), "a worker was killed, or ran out of memory", True, False),
        ((TOUCH, LOST_NODE), "the node of a worker was lost", False, False),
        ((TOUCH, STORAGE), "StorageError: s3://b fails since 300 s", False, False),
        ((TOUCH, TOUCH), str(TOUCH), False, False),
        ((KeyError("x"),), "KeyError: 'x'", True, False),
    ],
)
def test_the_worker_that_began_it_is_noted_not_those_it_pulled_along(tmp_path, workers, error, counts, final):
    attempts = Attempts(TrialPaths(tmp_path))
    note_failure(attempts, ray.train.WorkerGroupError("", dict(enumerate(workers))))
    (failure,) = Attempts(TrialPaths(tmp_path)).failures
    assert (failure["error"], failure["counts"], failure["final"]) == (error, counts, final)


def test_the_death_of_the_process_that_looks_after_workers_does_not_count(tmp_path):
    attempts = Attempts(TrialPaths(tmp_path))
    note_failure(attempts, DEATH)
    assert not attempts.failures[0]["counts"]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DataError("a shard is damaged"), TrialError),
        (STORAGE, StorageError),
        (RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer"), ConnectionError),
        (RuntimeError("NCCL error: remote process exited or there was a network error"), ConnectionError),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), RuntimeError),
        (ValueError("Connection closed by peer"), RuntimeError),
    ],
)
def test_a_failure_is_told_by_what_a_further_attempt_would_come_to(error, kind):
    assert class_of_failure(error) is kind
