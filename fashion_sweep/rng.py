"""Random draws as functions of (seed, purpose, index).

Nothing depends on the order of draws, the batch size, the number of workers or the machine, so that all trials
of a sweep see the same conditions and a resumed run repeats what an undisturbed one would have drawn.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # what draws with numpy alone starts seconds sooner
    import torch


def key(seed: int, purpose: str, *index: int | str) -> int:
    """Returns a 63-bit integer that names one draw."""
    text = ":".join([str(seed), purpose, *map(str, index)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def numpy_generator(seed: int, purpose: str, *index: int | str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(key(seed, purpose, *index)))


def torch_generator(seed: int, purpose: str, *index: int | str) -> "torch.Generator":
    """Returns a generator on the CPU, whatever the model's device: generators of other devices draw other streams."""
    import torch

    return torch.Generator("cpu").manual_seed(key(seed, purpose, *index))


def standard_normal(seed: int, purpose: str, *index: int | str, shape: Sequence[int]) -> "torch.Tensor":
    """Draws standard normal numbers of `shape`, float32 on the CPU."""
    import torch

    return torch.randn(*shape, generator=torch_generator(seed, purpose, *index), dtype=torch.float32)


def uniform_integer(seed: int, purpose: str, *index: int | str, high: int) -> int:
    """Draws an integer from [0, high)."""
    return int(numpy_generator(seed, purpose, *index).integers(high))


def permutation(seed: int, purpose: str, *index: int | str, length: int) -> np.ndarray:
    """Draws a permutation of the first `length` integers, int64 of shape (length,)."""
    return numpy_generator(seed, purpose, *index).permutation(length)
