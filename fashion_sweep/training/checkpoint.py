"""A checkpoint: adapter, optimizer state, position and the losses not yet reported, in one safetensors file.

Learning rate and random draws are functions of the step, so nothing else needs saving.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from fashion_sweep.files import replacing

OPTIMIZER_STATE = ("step", "exp_avg", "exp_avg_sq")


class Checkpoint(NamedTuple):
    """Where a training stands, besides its tensors."""

    step: int = 0
    """Steps done."""
    losses: list[float] = []  # noqa: RUF012
    """Of the last steps."""
    micro_batch_size: int | None = None
    """In use; None where nothing was trained yet."""


def save_checkpoint(
    path: Path, at: Checkpoint, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    tensors = {f"adapter/{name}": parameter.detach().cpu() for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer/{key}/{name}"] = value.detach().cpu()
    tensors["losses"] = torch.tensor(at.losses, dtype=torch.float64)
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"step": str(at.step), "micro_batch_size": str(at.micro_batch_size)})


def load_checkpoint(path: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> Checkpoint:
    """Restores adapter and optimizer; where there is no whole checkpoint, the beginning."""
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (FileNotFoundError, SafetensorError):
        return Checkpoint()
    if not {"losses", *(f"adapter/{name}" for name in parameters)} <= tensors.keys() or "step" not in metadata:
        return Checkpoint()
    state = optimizer.state_dict()
    for index, (name, parameter) in enumerate(parameters.items()):
        parameter.data.copy_(tensors[f"adapter/{name}"])
        keys = [key for key in OPTIMIZER_STATE if f"optimizer/{key}/{name}" in tensors]
        state["state"][index] = {key: tensors[f"optimizer/{key}/{name}"] for key in keys}
    optimizer.load_state_dict(state)
    micro_batch_size = metadata.get("micro_batch_size", "")
    size = int(micro_batch_size) if micro_batch_size.isdigit() else None
    return Checkpoint(int(metadata["step"]), tensors["losses"].tolist(), size)
