"""Fréchet Inception Distance between Gaussians fitted to features, in float64.

Source: Heusel et al. (2017), https://arxiv.org/abs/1706.08500.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from fashion_sweep.storage.files import write_tensors

SAMPLES_PER_DIMENSION = 2.5  # below about that the covariance is too poor for a number that is called FID


@dataclass(frozen=True)
class FeatureStats:
    """Mean (d) and covariance (d,d) of n features, float64."""

    mean: np.ndarray
    covariance: np.ndarray
    count: int

    def save(self, path: Path) -> None:
        write_tensors(path, {"mean": self.mean, "covariance": self.covariance, "count": np.array([self.count])})

    @classmethod
    def load(cls, path: Path) -> "FeatureStats":
        values = load_file(path)
        return cls(values["mean"], values["covariance"], int(values["count"][0]))


def feature_stats(features: np.ndarray) -> FeatureStats:
    """features: N,d of any float type, N ≥ 2; the covariance is the unbiased one."""
    values = np.asarray(features, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("features are not finite")
    return FeatureStats(values.mean(axis=0), np.cov(values, rowvar=False), len(values))


def frechet_distance(a: FeatureStats, b: FeatureStats) -> float:
    """|μa − μb|² + tr(Σa + Σb − 2 (Σa Σb)^½), the square root's trace from eigenvalues of Σa^½ Σb Σa^½."""
    root = _symmetric_root(a.covariance)
    eigenvalues = np.linalg.eigvalsh(root @ b.covariance @ root)
    cross = np.sqrt(eigenvalues.clip(min=0)).sum()
    offset = a.mean - b.mean
    return float(offset @ offset + np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross)


def _symmetric_root(matrix: np.ndarray) -> np.ndarray:
    eigenvalues, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(eigenvalues.clip(min=0))) @ vectors.T


def enough_samples(samples: int, dimension: int) -> bool:
    return samples >= SAMPLES_PER_DIMENSION * dimension
