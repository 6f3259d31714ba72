"""Checkpoints of adapter, optimizer state, position and losses not yet reported, in one safetensors file per step.

Learning rate and random draws are functions of the step, so nothing else needs saving.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from torch import nn

from fashion_sweep.storage import remote
from fashion_sweep.storage.files import is_whole, write_tensors

OPTIMIZER_STATE = ("step", "exp_avg", "exp_avg_sq")
KEPT = 2
"""The number of checkpoints that are kept: the newest, and one to fall back on."""


class Checkpoint(NamedTuple):
    """The position of a training, besides its tensors."""

    step: int = 0
    """The number of steps done."""
    losses: list[float] = []  # noqa: RUF012
    """The losses of the last steps."""
    micro_batch_size: int | None = None
    """The micro-batch size in use; None where nothing was trained yet."""


def save_checkpoint(
    folder: Path, at: Checkpoint, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    """Writes a checkpoint into `folder`, and removes all but the newest `KEPT`."""
    tensors = {f"adapter/{name}": parameter.detach().cpu().numpy() for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer/{key}/{name}"] = value.detach().cpu().numpy()
    tensors["losses"] = np.array(at.losses, dtype=np.float64)
    write_tensors(_path(folder, at.step), tensors, {"micro_batch_size": str(at.micro_batch_size)})
    for older in _newest_first(folder)[KEPT:]:
        remote.remove(older)


def newest_sound(folder: Path, say: Callable[[str], None]) -> int:
    """Returns the step of the newest checkpoint that is as it was written, 0 where there is none.

    Torn or damaged checkpoints are removed, and `say` is called with a message about each.
    """
    for path in _newest_first(folder):
        if is_whole(path):
            return int(path.stem)
        remote.remove(path)
        say(f"the checkpoint of step {int(path.stem)} was damaged and is left out")
    return 0


def load_checkpoint(
    folder: Path, step: int, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> Checkpoint:
    """Restores adapter and optimizer as they were after `step` steps."""
    if step == 0:
        return Checkpoint()
    state = optimizer.state_dict()
    with safe_open(_path(folder, step), "pt") as file:
        names, metadata = set(file.keys()), file.metadata()
        for index, (name, parameter) in enumerate(parameters.items()):
            parameter.data.copy_(file.get_tensor(f"adapter/{name}"))
            keys = [key for key in OPTIMIZER_STATE if f"optimizer/{key}/{name}" in names]
            state["state"][index] = {key: file.get_tensor(f"optimizer/{key}/{name}") for key in keys}
        losses = file.get_tensor("losses").tolist()
    optimizer.load_state_dict(state)
    return Checkpoint(step, losses, int(metadata["micro_batch_size"]))


def _path(folder: Path, step: int) -> Path:
    return folder / f"{step:08d}.safetensors"


def _newest_first(folder: Path) -> list[Path]:
    """Lists the checkpoints by their names, newest first; whatever else lies there is left alone."""
    return sorted((path for path in folder.glob(f"{'[0-9]' * 8}.safetensors") if path.is_file()), reverse=True)
