"""Sets up and shuts down the process group of a lane's workers.

Imports torch only where workers meet: what looks after them has no use for it, and would take seconds to load it.
"""

import logging
import tempfile
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError
from ray.train.backend import Backend, BackendConfig

logger = logging.getLogger(__name__)


@dataclass
class Together(BackendConfig):
    """Lets the workers of a lane meet; one alone needs nobody."""

    timeout_s: int
    """For which they wait for each other at the start."""
    on_this_machine: bool
    """Whether they find each other through a file. Torch's TCPStore listens on every interface, and asks nobody who he
    is."""

    @property
    def backend_cls(self) -> type[Backend]:
        return _Meeting


class _Meeting(Backend):
    """Does what Ray Train's own backend of torch does, for workers who have somebody to meet."""

    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: Together) -> None:
        if len(worker_group) == 1:
            return
        from ray.train.torch import TorchConfig

        torch_config = TorchConfig(timeout_s=backend_config.timeout_s)
        if backend_config.on_this_machine:
            _meet_in_a_file(worker_group, torch_config)
        else:
            torch_config.backend_cls().on_start(worker_group, torch_config)

    def on_shutdown(self, worker_group: Any, backend_config: Together) -> None:
        if len(worker_group) == 1:
            return
        from ray.train.torch import TorchConfig

        torch_config = TorchConfig(timeout_s=backend_config.timeout_s)
        try:
            torch_config.backend_cls().on_shutdown(worker_group, torch_config)
        except OutOfMemoryError as error:
            # At this Train would fail, and keep the lane's place in the cluster for ever.
            logger.warning("%s", error)


def _meet_in_a_file(worker_group: Any, torch_config: Any) -> None:
    from ray.train.torch.config import _set_torch_distributed_env_vars, _setup_torch_process_group

    gpus = worker_group.get_resources_per_worker().get("GPU", 0)
    folder = tempfile.mkdtemp(dir=ray._private.worker._global_node.get_session_dir_path())  # goes with the session
    worker_group.execute(_set_torch_distributed_env_vars)
    meeting = [
        worker_group.execute_single_async(
            rank,
            _setup_torch_process_group,
            backend="nccl" if gpus else "gloo",
            world_rank=rank,
            world_size=len(worker_group),
            init_method=f"file://{folder}/store",
            timeout_s=torch_config.timeout_s,
        )
        for rank in range(len(worker_group))
    ]
    ray.get(meeting)
