"""A checkpoint: adapter, optimizer state and position, in one safetensors file.

Learning rate and random draws are functions of the step, so nothing else needs saving.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from fashion_sweep.files import replacing

OPTIMIZER_STATE = ("step", "exp_avg", "exp_avg_sq")


def save_checkpoint(
    path: Path, step: int, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> None:
    """Writes the state after `step` steps."""
    tensors = {f"adapter/{name}": parameter.detach().cpu() for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer/{key}/{name}"] = value.detach().cpu()
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"step": str(step)})


def load_checkpoint(path: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer) -> int:
    """Restores adapter and optimizer and returns the number of steps done; 0 where there is no whole checkpoint."""
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            step = int(file.metadata()["step"])
    except (FileNotFoundError, SafetensorError):
        return 0
    state = optimizer.state_dict()
    for index, (name, parameter) in enumerate(parameters.items()):
        parameter.data.copy_(tensors[f"adapter/{name}"])
        keys = [key for key in OPTIMIZER_STATE if f"optimizer/{key}/{name}" in tensors]
        state["state"][index] = {key: tensors[f"optimizer/{key}/{name}"] for key in keys}
    optimizer.load_state_dict(state)
    return step
