"""Errors and intervals on Gaussian features, whose true FID is known: right about as often as they say."""

from functools import partial

import numpy as np
import pytest

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.metrics.clip_score import CLIP_SCORE
from fashion_sweep.metrics.evaluate import evaluate
from fashion_sweep.metrics.fid import FID, FeatureStats, feature_stats, fid_estimate, frechet_distance
from fashion_sweep.metrics.metric import Estimate, RealImages
from fashion_sweep.statistics.comparison import Candidate, Comparison, Difference, Influence, measure

D, N = 8, 400
EVALUATION = load_run_config("exp2", "tiny").preset.evaluation
METRICS = (FID, CLIP_SCORE)
REFERENCE = FeatureStats(np.zeros(D), np.diag(np.linspace(0.5, 2.0, D)), 10**9)


def true_fid(shift: float, scale: float) -> float:
    return frechet_distance(FeatureStats(np.full(D, shift), scale**2 * REFERENCE.covariance, 10**9), REFERENCE)


def fid_of(features, reference=REFERENCE, prompts=None):
    """FID as a trial has it, with the influences on halves."""
    given = {"fid.mean": reference.mean, "fid.covariance": reference.covariance, "fid.count": np.array(reference.count)}
    real, groups = RealImages({"features": features}, given), np.arange(len(features)) if prompts is None else prompts
    return evaluate([FID], {"features": features}, real, EVALUATION, groups)["fid"]


def candidate(name, parameters, rng, shared, shift=0.1, scale=1.0, clip_score=20.0, seeds=1, training_sd=0.0):
    """Features of n images that have most of what is drawn in common with those of the other candidates."""
    by_seed = []
    for _ in range(seeds):
        own = 0.8 * shared[:, :D] + 0.6 * rng.standard_normal((len(shared), D))
        moved = shift + training_sd * rng.standard_normal()
        features = moved + scale * own * np.sqrt(np.diag(REFERENCE.covariance))
        scores = clip_score + 3 * shared[:, D] + rng.standard_normal(len(shared))
        of_scores = Estimate(float(np.mean(scores)), scores - np.mean(scores))
        by_seed.append({"fid": fid_of(features), "clip_score": of_scores})
    return Candidate(name, parameters, by_seed)


def compared(candidates, prompts=None, metrics=METRICS):
    measured = [measure(candidate, metrics) for candidate in candidates]
    images = len(measured[0].metrics[metrics[0].name].influence.whole)
    return Comparison(measured, np.arange(images) if prompts is None else prompts, metrics)


def drawn(rng, n=N):
    return rng.standard_normal((n, D + 1))


def test_influence_is_the_derivative_of_fid_by_an_images_weight():
    rng = np.random.default_rng(0)
    features = 0.3 + 1.2 * rng.standard_normal((60, D))
    stats, step = feature_stats(features), 1e-6
    influence = fid_estimate(features, REFERENCE).influence
    for i in (0, 7, 33):
        offset = features[i] - stats.mean
        moved = FeatureStats(
            stats.mean + step * offset,
            (1 - step) * stats.covariance + step * (1 - step) * np.outer(offset, offset),
            stats.count,
        )
        change = frechet_distance(moved, REFERENCE) - frechet_distance(stats, REFERENCE)
        assert influence[i] == pytest.approx(change / step, rel=1e-3)


def test_corrected_fid_is_unbiased_and_its_interval_covers_the_truth():
    rng, truth, covered, values, biases = np.random.default_rng(1), true_fid(0.1, 1.1), 0, [], []
    for _ in range(300):
        drawn_once = candidate("a", 1, rng, drawn(rng), scale=1.1)
        comparison = compared([drawn_once])
        estimate = comparison.measured[0].metrics["fid"]
        values.append(estimate.value)
        biases.append(drawn_once.by_seed[0]["fid"].bias)
        covered += abs(estimate.value - truth) < 1.96 * np.sqrt(comparison.image_variance(estimate.influence))
    assert np.mean(values) == pytest.approx(truth, abs=0.1 * np.mean(biases))
    assert 0.91 <= covered / 300 <= 0.99


def drawn_alike(rng, n, d, freedom):
    """Features of two configurations that share .8 of their variance; one is .5 further from the real ones in FID."""
    heavy = [np.sqrt((freedom - 2) / rng.chisquare(freedom, (n, 1))) if freedom else 1.0 for _ in range(3)]
    shared, *own = (weight * rng.standard_normal((n, d)) for weight in heavy)
    apart = np.zeros((2, d))
    apart[:, 0] = np.sqrt([1.5, 1.0])
    return [shift + np.sqrt(0.8) * shared + np.sqrt(0.2) * one for shift, one in zip(apart, own, strict=True)]


@pytest.mark.parametrize("freedom", [None, 8], ids=["gaussian", "heavy tails"])
@pytest.mark.parametrize(("n", "d"), [(64, 16), (256, 16)])
def test_errors_do_not_count_their_own_noise(n, d, freedom):
    rng, reference, values, variances = np.random.default_rng(5), FeatureStats(np.zeros(d), np.eye(d), 10**9), [], []
    for _ in range(400):
        both = [fid_of(one, reference) for one in drawn_alike(rng, n, d, freedom)]
        comparison = compared([Candidate(str(i), i, [{"fid": one}]) for i, one in enumerate(both)], metrics=(FID,))
        difference = comparison.difference("fid", *comparison.measured)
        values.append(difference.value)
        variances.append(difference.image_variance)
    assert np.sqrt(np.mean(variances)) == pytest.approx(np.std(values), rel=0.1)
    covered = np.abs(np.array(values) - 0.5) < 1.96 * np.sqrt(variances)
    assert 0.92 <= covered.mean() <= 0.975


@pytest.mark.parametrize("metric", ["fid", "clip_score"])
def test_error_of_a_paired_difference_is_what_repetition_shows(metric):
    rng, values, errors = np.random.default_rng(2), [], []
    for _ in range(300):
        shared = drawn(rng)
        comparison = compared([candidate("a", 1, rng, shared, scale=1.2), candidate("b", 2, rng, shared)])
        difference = comparison.difference(metric, *comparison.measured)
        values.append(difference.value)
        errors.append(difference.se)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)
    alone = np.sqrt(2 * comparison.image_variance(comparison.measured[0].metrics[metric].influence))
    assert errors[-1] < 0.8 * alone  # pairing has paid


def test_images_of_one_prompt_are_no_independent_draws():
    rng = np.random.default_rng(7)
    shared = drawn(rng)
    single = compared([candidate("a", 1, rng, shared)])
    influence = single.measured[0].metrics["clip_score"].influence
    twice = compared([candidate("a", 1, rng, np.repeat(shared, 2, axis=0))], prompts=np.repeat(np.arange(N), 2))
    repeated = Influence(np.repeat(influence.whole, 2), None)
    assert twice.image_variance(repeated) == pytest.approx(single.image_variance(influence), rel=1e-9)


def test_the_spread_between_training_seeds_enters_the_error():
    rng, values, errors = np.random.default_rng(8), [], []
    for _ in range(150):
        make = partial(candidate, rng=rng, shared=drawn(rng), seeds=3, training_sd=0.2)
        comparison = compared([make("a", 1), make("b", 2), make("c", 3)])
        difference = comparison.difference("fid", *comparison.measured[:2])
        values.append(difference.value)
        errors.append(difference.se**2)
    assert np.sqrt(np.mean(errors)) == pytest.approx(np.std(values), rel=0.2)
    assert difference.quantile(0.95) > 1.645  # few seeds: a wider bound than the normal's


def test_the_base_model_which_is_not_trained_adds_no_spread_of_training():
    rng = np.random.default_rng(10)
    make = partial(candidate, rng=rng, shared=drawn(rng))
    trained = [make("a", 1, seeds=3, training_sd=0.2), make("b", 2, seeds=3, training_sd=0.2)]
    comparison = compared([make("base", 0), *trained])
    base, a, b = comparison.measured
    of_two = comparison.difference("fid", a, b).training_variance
    assert of_two > 0
    assert comparison.difference("fid", a, base).training_variance == pytest.approx(of_two / 2)
    assert comparison.estimate("fid", base).training_variance == 0


def test_few_prompts_make_wider_bounds_however_many_images_each_has():
    rng = np.random.default_rng(14)
    shared = drawn(rng, 320)
    few = compared([candidate("a", 1, rng, shared), candidate("b", 2, rng, shared)], prompts=np.arange(320) // 40)
    many = compared([candidate("a", 1, rng, shared), candidate("b", 2, rng, shared)])
    quantiles = [one.difference("clip_score", *one.measured).quantile(0.99) for one in (few, many)]
    assert quantiles == pytest.approx([2.998, 2.338], abs=0.002)  # Student's t of 7 and of 319


def test_a_bound_is_wider_on_the_side_to_which_the_sample_strays_and_never_narrower():
    plain, upwards, downwards = (Difference(1.0, 0.04, 0.0, 0, third=third) for third in (0.0, 0.001, -0.001))
    assert upwards.at_most(0.99) > plain.at_most(0.99) == downwards.at_most(0.99)
    assert downwards.at_least(0.99) < plain.at_least(0.99) == upwards.at_least(0.99)
    assert upwards.within(0.98) == (upwards.at_least(0.99), upwards.at_most(0.99))
