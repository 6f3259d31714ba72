"""Checkpoints of adapter, optimizer state, position and losses not yet reported, in one safetensors file per step.

Learning rate and random draws are functions of the step, so nothing else needs saving.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from torch import nn

from fashion_sweep.storage import remote
from fashion_sweep.storage.files import is_whole, write_tensors
from fashion_sweep.training.averaging import Average

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
    folder: Path,
    at: Checkpoint,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    average: Average | None = None,
) -> None:
    """Writes a checkpoint into `folder`, and removes all but the newest `KEPT`."""
    tensors = {f"adapter/{name}": parameter.detach().cpu().numpy() for name, parameter in parameters.items()}
    averages = average.tensors if average else {}
    tensors |= {f"average/{name}": value.cpu().numpy() for name, value in averages.items()}
    state, numbers = optimizer.state_dict(), dict[str, Any]()
    for path, value in _leaves("optimizer", state["state"]):
        if isinstance(value, torch.Tensor):
            tensors[path] = value.detach().cpu().numpy()
        else:
            numbers[path] = value
    groups = [{key: value for key, value in group.items() if key != "params"} for group in state["param_groups"]]
    tensors["losses"] = np.array(at.losses, dtype=np.float64)
    said = {"micro_batch_size": str(at.micro_batch_size), "numbers": json.dumps(numbers), "groups": json.dumps(groups)}
    write_tensors(_path(folder, at.step), tensors, said)
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
    folder: Path,
    step: int,
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    average: Average | None = None,
) -> Checkpoint:
    """Restores adapter, its average and the optimizer as they were after `step` steps."""
    if step == 0:
        return Checkpoint()
    state = optimizer.state_dict()
    with safe_open(_path(folder, step), "pt") as file:
        metadata = file.metadata()
        for name, parameter in parameters.items():
            parameter.data.copy_(file.get_tensor(f"adapter/{name}"))
        leaves = {path: file.get_tensor(path) for path in file.keys() if path.startswith("optimizer/")}  # noqa: SIM118
        losses = file.get_tensor("losses").tolist()
        if average:
            average.restore(step, {name: file.get_tensor(f"average/{name}") for name in parameters})
    state["state"] = _nested(leaves | json.loads(metadata["numbers"]))
    for group, values in zip(state["param_groups"], json.loads(metadata["groups"]), strict=True):
        group |= {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    optimizer.load_state_dict(state)
    return Checkpoint(step, losses, int(metadata["micro_batch_size"]))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yields what nested mappings hold, each with the keys that lead to it."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{path}/{key}", inner)
    else:
        yield path, value


def _nested(leaves: Mapping[str, Any]) -> dict[int, Any]:
    """Returns the state of each parameter, by its number, from its leaves."""
    states: dict[int, Any] = {}
    for path, value in leaves.items():
        _, number, *keys, last = path.split("/")
        inner = states.setdefault(int(number), {})
        for key in keys:
            inner = inner.setdefault(key, {})
        inner[last] = value
    return states


def _path(folder: Path, step: int) -> Path:
    return folder / f"{step:08d}.safetensors"


def _newest_first(folder: Path) -> list[Path]:
    """Lists the checkpoints by their names, newest first; whatever else lies there is left alone."""
    return sorted((path for path in folder.glob(f"{'[0-9]' * 8}.safetensors") if path.is_file()), reverse=True)
