"""Knows how a metric's estimated error shrinks with the sample, from the two halves of it.

An influence that is estimated from the images that it belongs to holds their noise, which adds to its variance what is
true of half as much: for a metric that is quadratic in the distribution the variance of n images is F/n + S/n², that of
the influences says F/n + 2 S/n². Halves say it at n/2, and the two together what is true, whatever the metric.
Source: the jackknife's variance is biased upwards by interactions of images, Efron & Stein (1981), Annals of Statistics
9(3).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.metrics.metric import Estimate, Metric, RealImages


def prompt_groups(captions: Sequence[str]) -> np.ndarray:
    """Returns the number of each image's caption: images of one caption are no independent draws."""
    return np.unique(np.asarray(captions, dtype=object), return_inverse=True)[1]


def first_half(groups: np.ndarray) -> np.ndarray:
    """Returns which images are of the first half: every second prompt with all its images."""
    return groups % 2 == 0


def with_halves(
    metric: Metric,
    estimate: Estimate,
    images: Mapping[str, np.ndarray],
    real: RealImages,
    evaluation: EvaluationConfig,
    groups: np.ndarray,
) -> Estimate:
    """Returns the estimate with each image's influence on that of its half; as it is where prompts are too few."""
    first, influence = first_half(groups), np.empty(len(groups))
    if min(len(np.unique(groups[rows])) for rows in (first, ~first)) < 2:
        return estimate
    for rows in (first, ~first):
        influence[rows] = metric.estimate({key: of[rows] for key, of in images.items()}, real, evaluation).influence
    return replace(estimate, half_influence=influence)
