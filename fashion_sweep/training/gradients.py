"""Sums a global batch's gradient over micro-batches and workers, so that it does not matter who did which of them.

float32 gradients are added in float64, where a sum of a batch's few terms is exact but for values that differ by more
than 2**29: whatever the order, the rounded sum is all but always the same bits.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn


class Gradients:
    """The sums of the gradients of `parameters`, on their device."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        sizes = [parameter.numel() for parameter in self.parameters]
        self.sums = torch.zeros(sum(sizes), dtype=torch.float64, device=self.parameters[0].device)
        self.parts = list(self.sums.split(sizes))
        self.used = [False] * len(sizes)

    def clear(self) -> None:
        self.sums.zero_()
        for parameter in self.parameters:
            parameter.grad = None

    def take(self) -> None:
        """Adds what a backward pass has left in the parameters, and clears it there."""
        for index, (parameter, part) in enumerate(zip(self.parameters, self.parts, strict=True)):
            if parameter.grad is not None:
                part.add_(parameter.grad.reshape(-1))
                self.used[index] = True
                parameter.grad = None

    def give(self, workers: int) -> None:
        """Sets the parameters' gradients to the sums over all workers.

        Parameters that no backward pass reached get none, as in a text encoder's last layer, where the model takes the
        last but one.
        """
        sum_over_workers(self.sums, workers)
        for parameter, part, used in zip(self.parameters, self.parts, self.used, strict=True):
            parameter.grad = part.reshape(parameter.shape).to(parameter.dtype) if used else None


def sum_over_workers(values: Tensor, workers: int) -> None:
    """Sums values over all workers in place, the same on every worker."""
    if workers > 1:
        distributed.all_reduce(values)
