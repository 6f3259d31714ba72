"""How many images a sweep's metrics need. Imports no torch."""

from collections.abc import Sequence

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.metrics.metric import Metric


def too_few(metrics: Sequence[Metric], images: int, evaluation: EvaluationConfig) -> str | None:
    """Why so many images cannot be judged by these metrics, as a clause; None where they can."""
    reasons = (metric.shortage(images, evaluation) for metric in metrics)
    return next((f"{images} images are {reason}" for reason in reasons if reason), None)
