"""A checkpoint: adapter, optimizer state, position and the losses not yet reported, in one safetensors file.

Learning rate and random draws are functions of the step, so nothing else needs saving.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from fashion_sweep.files import replacing

OPTIMIZER_STATE = ("step", "exp_avg", "exp_avg_sq")


def save_checkpoint(
    path: Path,
    step: int,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    losses: Iterable[float],
) -> None:
    """Writes the state after `step` steps, of which the last had these losses."""
    tensors = {f"adapter/{name}": parameter.detach().cpu() for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        for key, value in optimizer.state[parameter].items():
            tensors[f"optimizer/{key}/{name}"] = value.detach().cpu()
    tensors["losses"] = torch.tensor(list(losses), dtype=torch.float64)
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"step": str(step)})


def load_checkpoint(
    path: Path, parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> tuple[int, list[float]]:
    """Restores adapter and optimizer.

    Returns:
        The number of steps done and the losses of the last; 0 and none where there is no whole checkpoint.
    """
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (FileNotFoundError, SafetensorError):
        return 0, []
    if not {"losses", *(f"adapter/{name}" for name in parameters)} <= tensors.keys() or "step" not in metadata:
        return 0, []
    state = optimizer.state_dict()
    for index, (name, parameter) in enumerate(parameters.items()):
        parameter.data.copy_(tensors[f"adapter/{name}"])
        keys = [key for key in OPTIMIZER_STATE if f"optimizer/{key}/{name}" in tensors]
        state["state"][index] = {key: tensors[f"optimizer/{key}/{name}"] for key in keys}
    optimizer.load_state_dict(state)
    return int(metadata["step"]), tensors["losses"].tolist()
