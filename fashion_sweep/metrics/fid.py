"""Fréchet Inception Distance between Gaussians fitted to features, in float64.

Source: Heusel et al. (2017), https://arxiv.org/abs/1706.08500.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.metrics.extractors import FEATURES, dimension_of
from fashion_sweep.metrics.metric import FEW, Estimate, Margin, Metric, RealImages
from fashion_sweep.metrics.prompts import correction, prompts_of, squared_products

SAMPLES_PER_DIMENSION = 2.5  # below about that the covariance is too poor for a number that is called FID
COMPARED_PER_DIMENSION = 4
"""The images per feature dimension from which stated errors of differences are right (`benchmarks/errors.py`)."""
FEW_PER_DIMENSION = 4
"""The prompts per feature dimension below which some of the bias stays (`benchmarks/errors.py`)."""
SMALLEST_ROOT = 1e-6
"""The share of the largest root below which roots in the cross term are noise, whose inverse would drown the rest."""


@dataclass(frozen=True)
class FeatureStats:
    """The mean (d) and covariance (d,d) of n features, float64."""

    mean: np.ndarray
    covariance: np.ndarray
    count: int


def feature_stats(features: np.ndarray) -> FeatureStats:
    """Computes mean and unbiased covariance of features N,d of any float type, N ≥ 2."""
    values = np.asarray(features, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("features are not finite")
    return FeatureStats(values.mean(axis=0), np.cov(values, rowvar=False), len(values))


def frechet_distance(a: FeatureStats, b: FeatureStats) -> float:
    """Computes |μa − μb|² + tr(Σa + Σb − 2 (Σa Σb)^½), the root's trace by eigenvalues of Σa^½ Σb Σa^½."""
    root = _symmetric_root(a.covariance)
    eigenvalues = np.linalg.eigvalsh(root @ b.covariance @ root)
    cross = np.sqrt(eigenvalues.clip(min=0)).sum()
    offset = a.mean - b.mean
    return float(offset @ offset + np.trace(a.covariance) + np.trace(b.covariance) - 2 * cross)


def _symmetric_root(matrix: np.ndarray) -> np.ndarray:
    eigenvalues, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(eigenvalues.clip(min=0))) @ vectors.T


def fid_estimate(features: np.ndarray, reference: FeatureStats, prompts: np.ndarray | None = None) -> Estimate:
    """Estimates the FID of generated images' n,d features, with its bias and the influence of each image.

    With R = Σr^½ and R Σ R = V diag(s²) Vᵀ: the derivative of tr (R Σ R)^½ with respect to Σ is ½ R V diag(1/s) Vᵀ R.

    prompts: the number of each image's prompt; default: each has its own.
    """
    if prompts is None:
        prompts = np.arange(len(features))
    generated = feature_stats(features)
    root = _symmetric_root(reference.covariance)
    squares, axes = np.linalg.eigh(root @ generated.covariance @ root)
    s = np.sqrt(squares.clip(min=0))
    kept = s > SMALLEST_ROOT * s.max()
    inverse = np.divide(1, s, out=np.zeros_like(s), where=kept)
    turned = root @ axes
    slope = np.eye(len(s)) - (turned * inverse) @ turned.T  # of FID with respect to Σ
    offset = features - generated.mean
    influence = (
        2 * offset @ (generated.mean - reference.mean)
        + np.einsum("ni,ij,nj->n", offset, slope, offset, optimize=True)
        - np.sum(slope * generated.covariance)
    )
    return Estimate(
        value=frechet_distance(generated, reference),
        influence=influence,
        bias=_bias(offset, prompts, slope, turned, np.where(kept, s, 0)),
        bias_is_rough=bool(prompts.max() + 1 < FEW_PER_DIMENSION * len(s)),
    )


def _bias(offset: np.ndarray, prompts: np.ndarray, slope: np.ndarray, turned: np.ndarray, s: np.ndarray) -> float:
    """Estimates by how much FID at n images exceeds its limit, to the order of 1/n.

    Chong & Forsyth (2020), arXiv:1911.07023, measured that it does. The expansion to second order has three terms: the
    variance M of the mean; what Σ falls short of by it, which counts by the slope; and the curvature of the root of Σ
    for the variance of each element of Σ, in the axes of the root. Variances are those of prompts' sums, of whatever
    distribution: where images repeat prompts, or have heavy tails, there is more of it.

    Args:
        offset: features less their mean, n,d.
        prompts: the number of each image's prompt.
        slope: the derivative of FID with respect to Σ, d,d.
        turned: R V, d,d.
        s: the roots, d; 0 where they are noise.
    """
    n, factor = len(offset), correction(prompts)
    sums = np.zeros((len(factor), offset.shape[1]))
    np.add.at(sums, prompts, offset)
    of_mean = (factor[:, None] * sums).T @ sums / n**2
    shortfall = offset.T @ offset / (n - 1) / n - of_mean
    along, counts = offset @ turned, np.bincount(prompts)
    of_covariance = squared_products(factor[prompts, None] ** 0.25 * along, prompts)
    of_covariance[np.diag_indices(len(s))] += s**4 * (factor @ counts**2) - 2 * s**2 * (
        (factor * counts)[prompts] @ along**2
    )
    curved = s[:, None] * s * (s[:, None] + s)
    curvature = np.divide(of_covariance, curved, out=np.zeros_like(curved), where=curved > 0).sum() / (2 * n**2)
    return float(np.trace(of_mean) + np.sum(slope * shortfall) + curvature)


class Fid(Metric):
    """The distance of generated images from real ones in mean and covariance of their features."""

    name, title, short, better = "fid", "FID", "FID", "lower"
    margin = Margin(0.5, share=0.03)
    is_biased = True
    estimates_influence = True
    extractors = (FEATURES,)

    def statistics(self, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        stats = feature_stats(features[FEATURES])
        return {"mean": stats.mean, "covariance": stats.covariance, "count": np.array(stats.count)}

    def estimate(self, images: Mapping[str, np.ndarray], real: RealImages, evaluation: EvaluationConfig) -> Estimate:
        mean, covariance, count = (real.of(self.name, part) for part in ("mean", "covariance", "count"))
        return fid_estimate(images[FEATURES], FeatureStats(mean, covariance, int(count)), prompts_of(images))

    def least_images(self, evaluation: EvaluationConfig) -> int:
        return round(SAMPLES_PER_DIMENSION * dimension_of(FEATURES, evaluation))

    def images_to_compare(self, evaluation: EvaluationConfig) -> int:
        return max(FEW, COMPARED_PER_DIMENSION * dimension_of(FEATURES, evaluation))

    def shortage(self, images: int, evaluation: EvaluationConfig) -> str | None:
        dimension, least = dimension_of(FEATURES, evaluation), self.least_images(evaluation)
        if images >= SAMPLES_PER_DIMENSION * dimension:
            return None
        return f"too few for FID with the {dimension} features of {evaluation.features}, which needs {least} or more"


FID = Fid()
