"""The metrics of a trial from what is kept of each image."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fashion_sweep import doors
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.errors import ConfigError, RunError, TrialError
from fashion_sweep.metrics.estimates_file import read_estimates, write_estimates
from fashion_sweep.metrics.evaluate import as_result, evaluate, real_statistics
from fashion_sweep.metrics.metric import Estimate, RealImages, metrics_of

EVALUATION = load_run_config("exp2", "tiny").preset.evaluation
METRICS = metrics_of(["fid", "kid", "clip_score"])


def judged(features, scores, reference, evaluation=EVALUATION, metrics=METRICS):
    """Estimates and the values of a result."""
    real = RealImages({"features": reference}, real_statistics(metrics, {"features": reference}, evaluation))
    estimates = evaluate(
        metrics, {"features": features, "clip_scores": scores}, real, evaluation, np.arange(len(features))
    )
    return estimates, as_result(metrics, estimates, real, evaluation)


def test_metrics_carry_what_they_were_measured_on():
    draw = np.random.default_rng(0)
    features, reference = draw.standard_normal((200, 64)), draw.standard_normal((300, 64))
    _, result = judged(features, draw.standard_normal(200), reference)
    measured_on = {"samples": 200, "reference_samples": 300, "features": "tiny-clip", "feature_dim": 64}
    assert measured_on.items() <= result.items()


def test_a_metric_that_is_not_finite_fails_the_trial():
    features = np.random.default_rng(0).standard_normal((200, 64))
    with pytest.raises(TrialError, match="CLIP score is nan"):
        judged(features, np.full(200, np.nan), features)


@pytest.mark.parametrize("reference_size", [64, 80, 128, 300])
def test_kid_is_unbiased_although_each_image_has_the_caption_of_a_photograph(reference_size):
    """Image i resembles photograph i; were they to meet in one subset, KID would come out far below zero."""
    settings, values = EVALUATION.model_copy(update={"kid_subset_size": 16}), []
    for seed in range(150):
        draw = np.random.default_rng(seed)
        reference = draw.standard_normal((reference_size, 8))
        features = 0.8 * reference[:64] + 0.6 * draw.standard_normal((64, 8))
        estimates, _ = judged(features, draw.standard_normal(64), reference, settings, metrics_of(["kid"]))
        values.append(estimates["kid"].value)
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_estimates_come_back_from_their_file_bit_for_bit(tmp_path):
    draw = np.random.default_rng(0)
    features = draw.standard_normal((200, 64)).astype("f4")
    estimates, _ = judged(features, draw.standard_normal(200).astype("f4"), features[::-1])
    write_estimates(tmp_path / "estimates.safetensors", estimates, [str(i) for i in range(200)])
    found = read_estimates(tmp_path / "estimates.safetensors", list(estimates))
    assert found.prompts == [str(i) for i in range(200)]
    for name, one in estimates.items():
        back = found.metrics[name]
        assert (back.value, back.bias, back.standard_error) == (one.value, one.bias, one.standard_error)
        assert np.array_equal(back.influence, one.influence)
        assert np.array_equal(back.half_influence, one.half_influence)


def test_a_file_without_a_wanted_metric_is_refused(tmp_path):
    write_estimates(tmp_path / "estimates.safetensors", {"fid": Estimate(1.0, np.zeros(2))}, ["a", "b"])
    with pytest.raises(RunError, match="without clip_score"):
        read_estimates(tmp_path / "estimates.safetensors", ["fid", "clip_score"])


class Bad(type(METRICS[0])):
    """A metric of another package, which calls itself otherwise than its entry point does."""

    name = "good"


BAD = Bad()


def test_a_metric_that_does_not_say_what_it_has_to_is_told_before_anything_is_judged(monkeypatch):
    monkeypatch.setitem(doors.METRICS.places, "bad", "metrics_of_mine:BAD")
    monkeypatch.setitem(sys.modules, "metrics_of_mine", SimpleNamespace(BAD=BAD))
    with pytest.raises(ConfigError, match="metric 'bad': its class Bad calls itself 'good'"):
        metrics_of(["bad"])


def test_influences_that_are_not_one_for_each_image_are_told_when_they_are_made(tmp_path):
    with pytest.raises(TrialError, match=r"fid: has influences of shape \(3,\) for 4 images"):
        write_estimates(tmp_path / "estimates.safetensors", {"fid": Estimate(1.0, np.zeros(3))}, ["a", "b", "c", "d"])


def test_the_error_of_kid_is_larger_where_images_repeat_prompts():
    """Pairs of images that are all but equal tell as much as half of them."""
    draw = np.random.default_rng(0)
    features = np.repeat(draw.standard_normal((128, 64)), 2, axis=0) + 0.01 * draw.standard_normal((256, 64))
    metrics, kept, reference = metrics_of(["kid"]), {"features": features}, draw.standard_normal((256, 64))
    real = RealImages({"features": reference}, {})
    apart, repeated = (
        evaluate(metrics, kept, real, EVALUATION, prompts)["kid"].standard_error
        for prompts in (np.arange(256), np.arange(256) // 2)
    )
    assert repeated > 1.2 * apart
