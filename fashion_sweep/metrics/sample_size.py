"""Checks that a sweep's metrics have enough images. Imports no torch."""

from collections.abc import Sequence

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.metrics.metric import Metric


def too_few(metrics: Sequence[Metric], images: int, evaluation: EvaluationConfig) -> str | None:
    """Returns why that many images are too few for these metrics, as a clause; None where they are enough."""
    reasons = (metric.shortage(images, evaluation) for metric in metrics)
    return next((f"{images} images are {reason}" for reason in reasons if reason), None)
