"""Kernel Inception Distance: the unbiased squared MMD with the kernel (x·y/d + 1)³, in float64.

Source: Bińkowski et al., Demystifying MMD GANs (2018), https://arxiv.org/abs/1801.01401.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Kid:
    value: float
    standard_error: float
    """From subsets that do not overlap."""


def kid(features: np.ndarray, reference: np.ndarray, subset_size: int) -> Kid:
    """Mean over disjoint subsets: the k-th `subset_size` features against the k-th of the reference.

    features N,d and reference M,d are each in a random order, and row i of one tells nothing of row i of the other.

    Raises:
        ValueError: there are fewer than two subsets, so that nothing is known of the error.
    """
    count = min(len(features), len(reference)) // subset_size
    if count < 2 or subset_size < 2:
        raise ValueError(f"KID needs two subsets of {subset_size} on each side")
    values = np.array(
        [
            squared_mmd(features[start : start + subset_size], reference[start : start + subset_size])
            for start in range(0, count * subset_size, subset_size)
        ]
    )
    return Kid(float(values.mean()), float(values.std(ddof=1) / np.sqrt(count)))


def squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Unbiased estimate; x n,d and y m,d."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    n, m = len(x), len(y)
    within_x, within_y = _kernel(x, x), _kernel(y, y)
    return float(
        (within_x.sum() - np.trace(within_x)) / (n * (n - 1))
        + (within_y.sum() - np.trace(within_y)) / (m * (m - 1))
        - 2 * _kernel(x, y).mean()
    )


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3
