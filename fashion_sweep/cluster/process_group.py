"""Sets up and shuts down the process group of a trial's workers. Imports torch."""

import logging
import tempfile
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import OutOfMemoryError
from ray.train.torch import TorchConfig
from ray.train.torch.config import _set_torch_distributed_env_vars, _setup_torch_process_group, _TorchBackend

logger = logging.getLogger(__name__)


@dataclass
class Torch(TorchConfig):
    """Behaves as Ray Train's own config, but where a worker is gone for lack of memory. There Train would fail at the
    shutdown, and keep the trial's place in the cluster for ever, for which further attempts would wait in vain."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _Parting


class _Parting(_TorchBackend):
    def on_shutdown(self, worker_group: Any, backend_config: TorchConfig) -> None:
        try:
            super().on_shutdown(worker_group, backend_config)
        except OutOfMemoryError as error:
            logger.warning("%s", error)


@dataclass
class TorchOnThisMachine(Torch):
    """Lets workers find each other through a file. Torch's TCPStore listens on every interface, and asks nobody who
    he is."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return _MeetInAFile


class _MeetInAFile(_Parting):
    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        gpus = worker_group.get_resources_per_worker().get("GPU", 0)
        folder = tempfile.mkdtemp(dir=ray._private.worker._global_node.get_session_dir_path())  # goes with the session
        worker_group.execute(_set_torch_distributed_env_vars)
        meeting = [
            worker_group.execute_single_async(
                rank,
                _setup_torch_process_group,
                backend=backend_config.backend or ("nccl" if gpus else "gloo"),
                world_rank=rank,
                world_size=len(worker_group),
                init_method=f"file://{folder}/store",
                timeout_s=backend_config.timeout_s,
            )
            for rank in range(len(worker_group))
        ]
        ray.get(meeting)
