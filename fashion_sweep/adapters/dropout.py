"""Dropout whose masks depend on the sample, the layer and the step alone, however a batch is divided."""

import torch
from torch import Tensor, nn

STEPS = (-7046029254386353131, -4658895280553007687, -7723592293110705685)  # of splitmix64, as int64
BITS = 24
"""The bits of a hash that are compared with the probability."""


class SampleDropout(nn.Module):
    """Drops single values of an adapter's input in training, and scales up the others.

    Drawn by a hash of (sample, layer, position), which is the same on all devices and when checkpointing repeats a
    forward pass. Source of the hash: splitmix64, Steele et al. (2014), https://doi.org/10.1145/2660193.2660195.
    """

    def __init__(self, probability: float, layer: int) -> None:
        super().__init__()
        self.probability, self.layer = probability, layer
        self.samples: Tensor | None = None
        """A number for each sample of the batch, N int64 on the device; None: nothing is dropped."""

    def forward(self, values: Tensor) -> Tensor:
        """Takes N,..., and returns the same shape."""
        if self.samples is None or not self.training:
            return values
        assert len(values) == len(self.samples), f"{len(values)} rows of {len(self.samples)} samples"
        per_sample = values[0].numel()
        positions = torch.arange(per_sample, device=values.device)
        hashed = _mixed((self.samples ^ self.layer)[:, None] + positions * STEPS[0])
        kept = (hashed >> (64 - BITS)) & (2**BITS - 1) >= round(self.probability * 2**BITS)
        return values * kept.view(values.shape) / (1 - self.probability)


def _mixed(numbers: Tensor) -> Tensor:
    """Returns hashes of int64 numbers, whose products wrap around."""
    for shift, step in ((30, STEPS[1]), (27, STEPS[2])):
        numbers = (numbers ^ _shifted(numbers, shift)) * step
    return numbers ^ _shifted(numbers, 31)


def _shifted(numbers: Tensor, bits: int) -> Tensor:
    return (numbers >> bits) & (2 ** (64 - bits) - 1)
