"""Stores a trial's metrics on one evaluation set with each image's influence on them: all that a comparison needs.

Reading takes neither torch nor the images' features, which are 1,000 times as large.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from fashion_sweep.errors import RunError, TrialError
from fashion_sweep.metrics.metric import Estimate
from fashion_sweep.storage.files import write_tensors

HALVES = ".halves"
"""The end of the names of influences on halves."""


@dataclass(frozen=True)
class TrialEstimates:
    """The metrics of a trial on n images, which are in the order of their prompts."""

    metrics: Mapping[str, Estimate]
    prompts: list[str]
    """The names of the records whose captions were the prompts."""


def write_estimates(path: Path, estimates: Mapping[str, Estimate], prompts: Sequence[str]) -> None:
    """Writes a file of estimates.

    Raises:
        TrialError: a metric has not one influence for each prompt.
    """
    for name, one in estimates.items():
        if np.shape(one.influence) != (len(prompts),):
            raise TrialError(f"{name}: has influences of shape {np.shape(one.influence)} for {len(prompts)} images")
    numbers = {name: asdict(one) for name, one in estimates.items()}
    influences = {name: values.pop("influence") for name, values in numbers.items()}
    halves = {f"{name}{HALVES}": values.pop("half_influence") for name, values in numbers.items()}
    influences |= {name: tensor for name, tensor in halves.items() if tensor is not None}
    write_tensors(path, influences, {"estimates": json.dumps(numbers), "prompts": json.dumps(list(prompts))})


def read_estimates(path: Path, wanted: Sequence[str]) -> TrialEstimates:
    """Reads a file of estimates, and checks that it holds the wanted metrics.

    Raises:
        RunError: the file is not there, damaged, lacks a wanted metric, or holds values that are not finite.
    """
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            numbers, prompts = json.loads(metadata["estimates"]), json.loads(metadata["prompts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, it is no mapping
            estimates = {
                name: Estimate(influence=tensors[name], half_influence=tensors.get(f"{name}{HALVES}"), **one)
                for name, one in numbers.items()
            }
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _unusable(path, f"damaged ({type(error).__name__})") from error
    if missing := [name for name in wanted if name not in estimates]:
        raise _unusable(path, f"without {missing[0]}")
    if any(tensor.shape != (len(prompts),) for tensor in tensors.values()):
        raise _unusable(path, "not one influence for each prompt")
    numbers_in = [*tensors.values(), *([one.value, one.bias] for one in estimates.values())]
    if not all(np.isfinite(values).all() for values in numbers_in):
        raise _unusable(path, "holding values that are not finite")
    return TrialEstimates(estimates, prompts)


def _unusable(path: Path, state: str) -> RunError:
    trial = path.parent.parent
    return RunError(f"{path} is {state}; remove it and {trial / 'result.json'}, and resume, to have it computed anew")
