"""Knows how a metric's estimated error shrinks with the sample, from the two halves of it.

An influence that is estimated from the images that it belongs to holds their noise, which adds to its variance what is
true of half as much: for a metric that is quadratic in the distribution the variance of n images is F/n + S/n², that of
the influences says F/n + 2 S/n². Halves say it at n/2, and the two together what is true, whatever the metric. So it is
with bias: what is left of it once its first order is taken off shrinks with 1/n², and halves have four times as much.
Sources: Efron & Stein (1981), Annals of Statistics 9(3); Richardson's extrapolation.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.metrics.metric import Estimate, Metric, RealImages
from fashion_sweep.metrics.prompts import first_half, prompts_of


def with_halves(
    metric: Metric,
    estimate: Estimate,
    images: Mapping[str, np.ndarray],
    real: RealImages,
    evaluation: EvaluationConfig,
) -> Estimate:
    """Returns the estimate with each image's influence on that of its half, and with what is left of its bias; as it is
    where prompts are too few."""
    prompts = prompts_of(images)
    first, influence, values = first_half(prompts), np.empty(len(prompts)), list[float]()
    if min(len(np.unique(prompts[rows])) for rows in (first, ~first)) < 2:
        return estimate
    for rows in (first, ~first):
        half = metric.estimate({key: of[rows] for key, of in images.items()}, real, evaluation)
        assert half is not None
        influence[rows] = half.influence
        values.append(half.value - half.bias)
    rest = (float(np.mean(values)) - (estimate.value - estimate.bias)) / 3 if metric.is_biased else 0.0
    return replace(estimate, half_influence=influence, rest=rest)
