"""Keeps an exponential moving average of the trained parameters, which smooths the last steps, by diffusers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn


class Average:
    """The average of the trained parameters over the steps so far: Karras et al. (2024), arXiv:2312.02696, 3.1.

    Early steps count less than the decay says: at step n it is at most (1 + n) / (10 + n).
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self._parameters = parameters
        self._average = EMAModel(parameters.values(), decay=decay)

    def step(self) -> None:
        """Takes the parameters of a step in."""
        self._average.step(self._parameters.values())

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The averages by the names of the parameters."""
        return dict(zip(self._parameters, self._average.shadow_params, strict=True))

    def restore(self, step: int, tensors: Mapping[str, Tensor]) -> None:
        """Goes on from the averages as they were after so many steps."""
        self._average.optimization_step = step
        for name, value in self.tensors.items():
            value.copy_(tensors[name])

    def put(self) -> None:
        """Replaces the parameters by their averages."""
        self._average.copy_to(self._parameters.values())

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Has the averages in the parameters' place while the block runs."""
        kept = [parameter.detach().clone() for parameter in self._parameters.values()]
        self.put()
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(self._parameters.values(), kept, strict=True):
                    parameter.copy_(value)
