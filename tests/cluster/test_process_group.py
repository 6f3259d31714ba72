"""How the workers of a lane part."""

from typing import Any

import pytest
from ray.exceptions import ActorDiedError, OutOfMemoryError

from fashion_sweep.cluster.process_group import Together

TOGETHER = Together(timeout_s=60, on_this_machine=True)


class GoneFor:
    """A worker group whose workers are gone."""

    def __init__(self, reason: Exception) -> None:
        self.reason = reason

    def __len__(self) -> int:
        return 2

    def execute(self, *arguments: Any, **options: Any) -> None:
        raise self.reason

    execute_async = execute_single = execute


def test_workers_that_were_ended_for_lack_of_memory_do_not_keep_a_lane_from_parting():
    TOGETHER.backend_cls().on_shutdown(GoneFor(OutOfMemoryError("5 worker(s) were killed")), TOGETHER)


def test_another_end_of_a_worker_is_left_to_train_which_knows_it():
    with pytest.raises(ActorDiedError):
        TOGETHER.backend_cls().on_shutdown(GoneFor(ActorDiedError()), TOGETHER)
