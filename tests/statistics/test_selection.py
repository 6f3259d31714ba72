"""Intervals and the rule on Gaussian features, whose true FID is known: right about as often as they say."""

from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.metrics.clip_score import CLIP_SCORE
from fashion_sweep.metrics.evaluate import evaluate
from fashion_sweep.metrics.fid import FID, FeatureStats, feature_stats, fid_estimate, frechet_distance
from fashion_sweep.metrics.metric import Estimate, RealImages
from fashion_sweep.statistics.comparison import Candidate, Comparison, Difference, Influence, measure
from fashion_sweep.statistics.selection import Bound, Bounds, Margins, decide

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


def margins(fid, clip_score):
    return Margins({"fid": fid, "clip_score": clip_score})


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


def wrong_choices(along_an_axis: bool, repetitions: int = 200, **training: Any) -> float:
    """How often a rank that is worse by exactly the margin is called as good as the best."""
    rng, wrong = np.random.default_rng(3), 0
    allowed = margins(fid=true_fid(0.4, 1.0) - true_fid(0.1, 1.0), clip_score=1.0)
    for _ in range(repetitions):
        make = partial(candidate, rng=rng, shared=drawn(rng), **training)
        comparison = compared([make("small", 1, shift=0.4), make("middle", 2), make("large", 4)])
        wrong += decide(comparison, allowed, along_an_axis).chosen == "small"
    return wrong / repetitions


def test_a_rank_that_is_worse_by_the_margin_is_chosen_no_oftener_than_promised():
    assert 0.0 < wrong_choices(along_an_axis=True) <= 0.09


def test_without_an_axis_the_error_is_kept_for_all_tests_at_once():
    assert wrong_choices(along_an_axis=False) <= 0.07


@pytest.mark.parametrize("along_an_axis", [True, False])
def test_the_error_is_kept_where_most_of_it_is_from_few_training_seeds(along_an_axis):
    assert wrong_choices(along_an_axis, seeds=2, training_sd=0.05) <= 0.09


def test_the_smallest_of_equals_is_chosen_where_the_sample_allows_it():
    rng = np.random.default_rng(4)
    for along_an_axis in (True, False):
        make = partial(candidate, rng=rng, shared=drawn(rng, 4000))
        comparison = compared([make("rank 1", 1), make("rank 4", 4), make("rank 2", 2)])
        assert decide(comparison, margins(0.5, 0.3), along_an_axis).chosen == "rank 1"


def test_the_sequence_ends_at_its_first_failure_even_if_a_smaller_one_would_pass():
    rng = np.random.default_rng(5)
    make = partial(candidate, rng=rng, shared=drawn(rng, 4000))
    comparison = compared([make("rank 1", 1), make("rank 2", 2, clip_score=18.0), make("rank 4", 4)])
    verdict = decide(comparison, margins(0.5, 0.3), along_an_axis=True)
    assert verdict.bounds_of["rank 1"].is_good
    assert verdict.chosen == "rank 4"
    assert verdict.bounds_of["rank 2"].shown_worse_by.metric is CLIP_SCORE


def test_undecided_says_how_many_images_would_decide():
    rng = np.random.default_rng(6)
    make = partial(candidate, rng=rng, shared=drawn(rng, 60))
    comparison = compared([make("rank 1", 1), make("rank 2", 2)])
    tightest = decide(comparison, margins(0.5, 0.3), along_an_axis=True).bounds_of["rank 1"].worst
    assert tightest.slack <= 0
    needed = tightest.images_needed(60)
    assert needed > 60
    worse_by = tightest.worse_by
    reach = worse_by.value + tightest.quantile * np.sqrt(worse_by.image_variance * 60 / needed)
    assert reach == pytest.approx(tightest.margin, rel=0.01)
    assert tightest.seeds_needed(1) is None  # one seed says nothing of others


def bound(value, image_se, margin, training_se=0.0, level=0.95, everywhere=3.0, metric=FID, df=10):
    return Bound("rival", metric, Difference(value, image_se**2, training_se**2, df), margin, level, everywhere)


def test_a_sure_loser_in_one_number_is_one_whatever_the_other_number_hides():
    sure, vague = bound(1.0, 0.05, 0.5), bound(0.0, 1.2, 0.3, metric=CLIP_SCORE)
    both = Bounds((sure, vague))
    assert both.worst is vague
    assert both.shown_worse_by is sure
    assert vague.images_needed(256) > 256
    assert both.images_needed(256) is None  # of the sure one no number of images would do


def test_worse_is_said_only_by_the_bound_that_holds_for_all_at_once():
    between = bound(1.0, 0.2, 0.5)  # 0.5 + 1.645 x 0.2 < 1.0 < 0.5 + 3 x 0.2
    assert not between.shown_worse
    assert bound(1.0, 0.1, 0.5).shown_worse
    rng = np.random.default_rng(11)
    make = partial(candidate, rng=rng, shared=drawn(rng))
    found = decide(compared([make("a", 1), make("b", 2), make("c", 3)]), margins(0.5, 0.3), along_an_axis=True)
    assert all(one.everywhere > one.quantile for bounds in found.bounds_of.values() for one in bounds.bounds)


def test_images_cannot_buy_back_what_training_seeds_leave_open():
    one = bound(0.1, 0.3, 0.5, training_se=0.1)
    with_more = replace(one.worse_by, image_variance=0.3**2 * 100 / one.images_needed(100))
    assert with_more.value + with_more.quantile(0.95) * with_more.se == pytest.approx(one.margin, rel=0.01)
    assert bound(0.1, 0.3, 0.5, training_se=0.3).images_needed(100) is None


def test_with_few_seeds_the_images_that_would_do_are_those_of_the_wider_quantile():
    one = bound(0.1, 0.3, 0.5, training_se=0.1, df=2)
    needed = one.images_needed(100)
    assert replace(one, worse_by=replace(one.worse_by, image_variance=0.3**2 * 100 / needed)).slack > 0
    assert replace(one, worse_by=replace(one.worse_by, image_variance=0.3**2 * 100 / (0.98 * needed))).slack < 0


def test_the_simultaneous_quantile_holds_all_pairs_of_equals_at_once():
    rng, within = np.random.default_rng(12), 0
    for _ in range(150):
        make = partial(candidate, rng=rng, shared=drawn(rng))
        comparison = compared([make(str(k), k) for k in range(1, 5)])
        quantile = comparison.simultaneous_quantile(0.95, draws=1000)
        differences = [
            comparison.difference(metric.name, a, b)
            for metric in METRICS
            for a, b in combinations(comparison.measured, 2)
        ]
        within += all(abs(one.value) <= quantile * one.se for one in differences)
        assert quantile > 2.3  # of a single difference it would be 1.96
    assert 0.90 <= within / 150 <= 0.99


def test_a_larger_configuration_cannot_push_a_smaller_one_off_the_front():
    rng = np.random.default_rng(13)
    make = partial(candidate, rng=rng, shared=drawn(rng, 2000))
    comparison = compared([make("small", 1, shift=0.6, clip_score=15.0), make("large", 4)])
    assert decide(comparison, margins(0.5, 0.3), along_an_axis=False).front == ("small", "large")


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


def test_only_a_sure_loser_in_both_metrics_leaves_the_front():
    rng = np.random.default_rng(9)
    make = partial(candidate, rng=rng, shared=drawn(rng, 2000))
    comparison = compared(
        [make("good", 2), make("worse", 4, shift=0.6, clip_score=15.0), make("mixed", 4, shift=0.6, clip_score=25.0)]
    )
    assert decide(comparison, margins(0.5, 0.3), along_an_axis=False).front == ("good", "mixed")


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
