"""Computes a trial's metrics from what is kept of each image, each with what it was measured on."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.errors import TrialError
from fashion_sweep.metrics.extractors import CLIP, FEATURES, by_extractor, dimension_of, identity_of
from fashion_sweep.metrics.halves import with_halves
from fashion_sweep.metrics.metric import Estimate, Metric, RealImages
from fashion_sweep.metrics.prompts import PROMPTS, variance_of_mean


def compared_extractors(metrics: Sequence[Metric]) -> list[str]:
    """Returns the extractors whose features of the real images the metrics need."""
    comparing = [metric for metric in metrics if metric.compares_features]
    return list(dict.fromkeys(name for metric in comparing for name in metric.extractors))


def real_statistics(
    metrics: Sequence[Metric], features: Mapping[str, np.ndarray], evaluation: EvaluationConfig
) -> dict[str, np.ndarray]:
    """Computes what the metrics need of the real images beside their features, for `RealImages`: once per run."""
    named = by_extractor(features, compared_extractors(metrics), evaluation)
    return {f"{metric.name}.{part}": value for metric in metrics for part, value in metric.statistics(named).items()}


def evaluate(
    metrics: Sequence[Metric],
    kept: Mapping[str, np.ndarray],
    real: RealImages,
    evaluation: EvaluationConfig,
    groups: np.ndarray,
) -> dict[str, Estimate]:
    """Computes the metrics of generated images, by name; those that cannot be measured on them are left out.

    Args:
        metrics: those to compute.
        kept: of each generated image, in the order of judging.
        real: the real images; features are named as `kept` are.
        evaluation: the preset's settings.
        groups: the number of each image's prompt.

    Raises:
        TrialError: a value is not finite.
    """
    names = compared_extractors(metrics)
    images = by_extractor(kept, names, evaluation) | {PROMPTS: groups}
    real = RealImages(by_extractor(real.features, names, evaluation), real.statistics)
    estimates = {}
    for metric in metrics:
        if (estimate := metric.estimate(images, real, evaluation)) is None:
            continue
        estimates[metric.name] = estimate
        if not (math.isfinite(estimate.value) and math.isfinite(estimate.standard_error or 0.0)):
            raise TrialError(f"{metric.title} is {estimate.value} on {len(estimate.influence)} images")
        if metric.estimates_influence:
            estimates[metric.name] = with_halves(metric, estimate, images, real, evaluation)
        elif estimate.standard_error and len(np.unique(groups)) > 1:
            by_prompt, by_image = (variance_of_mean(estimate.influence, of) for of in (groups, np.arange(len(groups))))
            error = estimate.standard_error * math.sqrt(by_prompt / by_image) if by_image else estimate.standard_error
            estimates[metric.name] = replace(estimate, standard_error=error)
    return estimates


def as_result(
    metrics: Sequence[Metric], estimates: Mapping[str, Estimate], real: RealImages, evaluation: EvaluationConfig
) -> dict[str, Any]:
    """Returns the metrics as `result.json` has them: values, standard errors, sample counts and extractors."""
    result: dict[str, Any] = {}
    for name, estimate in estimates.items():
        result[name] = estimate.value
        if estimate.standard_error is not None:
            result[f"{name}_se"] = estimate.standard_error
    if not estimates:
        return {}
    images = len(next(iter(estimates.values())).influence)
    result["looks"] = {str(images): {name: one.value - one.bias - one.rest for name, one in estimates.items()}}
    result["samples"] = len(next(iter(estimates.values())).influence)
    if real.features:
        result["reference_samples"] = len(next(iter(real.features.values())))
    extractors = {name for metric in metrics for name in metric.extractors}
    if FEATURES in extractors:
        result |= {"features": evaluation.features, "feature_dim": dimension_of(FEATURES, evaluation)}
    if CLIP in extractors:
        result["clip_model"] = evaluation.clip_model
    if others := sorted(identity_of(name, evaluation) for name in extractors - {FEATURES, CLIP}):
        result["other_networks"] = " and ".join(others)
    return result


def for_tune(evaluations: Mapping[str, Any], metrics: Sequence[Metric]) -> dict[str, float]:
    """Returns the metrics as Ray Tune gets them, such as `fid_fashion`; empty on workers that hold no metrics."""
    return {
        f"{metric.name}_{data_set}": values[metric.name]
        for data_set, values in evaluations.items()
        for metric in metrics
        if values and metric.name in values
    }
