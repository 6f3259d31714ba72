"""From per-image features and scores to the numbers of a trial, each with what it was measured on."""

import math
from typing import Any

import numpy as np

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.errors import TrialError
from fashion_sweep.metrics.fid import feature_stats, frechet_distance
from fashion_sweep.metrics.kid import kid


def evaluate(
    features: np.ndarray,  # n,d of generated images
    clip_scores: np.ndarray,  # n
    reference: np.ndarray,  # m,d of real images; the first n are those whose captions were the prompts
    config: EvaluationConfig,
) -> dict[str, Any]:
    """FID, KID and CLIP score with their sample counts and extractors.

    Raises:
        TrialError: a value is not finite.
    """
    kid_estimate = kid(features, _strangers_first(reference, len(features), config), config.kid_subset_size)
    metrics = {
        "fid": frechet_distance(feature_stats(features), feature_stats(reference)),
        "kid": kid_estimate.value,
        "kid_se": kid_estimate.standard_error,
        "clip_score": float(np.mean(clip_scores, dtype=np.float64)),
        "clip_score_se": float(np.std(clip_scores, ddof=1, dtype=np.float64) / math.sqrt(len(clip_scores))),
    }
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise TrialError(f"{name} is {value} on {len(features)} images")
    measured_on = {
        "samples": len(features),
        "reference_samples": len(reference),
        "features": config.features,
        "feature_dim": features.shape[1],
        "clip_model": config.clip_model,
    }
    return metrics | measured_on


def _strangers_first(reference: np.ndarray, samples: int, config: EvaluationConfig) -> np.ndarray:
    """Turned so that no generated image meets the photograph of its own caption: KID takes the two as independent."""
    size = config.kid_subset_size
    return np.roll(reference, -(samples if len(reference) >= samples + size else size), axis=0)


def flat(evaluations: dict[str, Any]) -> dict[str, float]:
    """`fid_fashion` and so on, for Ray Tune; nothing on the workers that hold no metrics."""
    return {
        f"{metric}_{name}": metrics[metric]
        for name, metrics in evaluations.items()
        if metrics
        for metric in ("fid", "kid", "clip_score")
    }
