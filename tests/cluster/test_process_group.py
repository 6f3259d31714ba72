"""How the workers of a trial part."""

from typing import Any

import pytest
from ray.exceptions import ActorDiedError, OutOfMemoryError

from fashion_sweep.cluster.process_group import Torch, TorchOnThisMachine


class GoneFor:
    """A worker group whose workers are gone."""

    def __init__(self, reason: Exception) -> None:
        self.reason = reason

    def __len__(self) -> int:
        return 1

    def execute(self, *arguments: Any, **options: Any) -> None:
        raise self.reason

    execute_async = execute_single = execute


@pytest.mark.parametrize("config", [Torch(), TorchOnThisMachine()])
def test_workers_that_were_ended_for_lack_of_memory_do_not_keep_a_trial_from_parting(config):
    config.backend_cls().on_shutdown(GoneFor(OutOfMemoryError("5 worker(s) were killed")), config)


def test_another_end_of_a_worker_is_left_to_train_which_knows_it():
    with pytest.raises(ActorDiedError):
        Torch().backend_cls().on_shutdown(GoneFor(ActorDiedError()), Torch())
