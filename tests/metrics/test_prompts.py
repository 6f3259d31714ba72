"""Images of one prompt are no independent draws: errors, biases and bounds know it."""

import numpy as np
import pytest

from fashion_sweep.metrics.cmmd import cmmd_estimate
from fashion_sweep.metrics.fid import FeatureStats, fid_estimate
from fashion_sweep.metrics.kid import squared_mmd
from fashion_sweep.metrics.prompts import (
    effective_count,
    first_half,
    squared_products,
    third_cumulant_of_mean,
    variance_of_mean,
)

REPEATS, DIMENSION, ROUNDS = 8, 8, 60


def clustered(rng, prompts):
    """Features of variance 1, of which images of one prompt have half in common."""
    own, common = rng.standard_normal((len(prompts), DIMENSION)), rng.standard_normal((prompts.max() + 1, DIMENSION))
    return np.sqrt(0.5) * (own + common[prompts])


@pytest.mark.parametrize("prompts", [np.arange(60) % 7, np.arange(60) // 30, np.arange(60), np.arange(60) ** 2 % 11])
def test_products_are_summed_by_prompt_before_they_are_squared(prompts):
    prompts = np.unique(prompts, return_inverse=True)[1]
    values = np.random.default_rng(0).standard_normal((60, 5))
    of_prompts = [values[prompts == prompt] for prompt in range(prompts.max() + 1)]
    assert squared_products(values, prompts) == pytest.approx(sum(np.square(one.T @ one) for one in of_prompts))


def test_the_bias_of_fid_is_what_repetition_shows_where_prompts_repeat():
    rng, prompts = np.random.default_rng(0), np.arange(512) // REPEATS
    reference = FeatureStats(np.zeros(DIMENSION), np.eye(DIMENSION), 10**9)
    found = [fid_estimate(clustered(rng, prompts), reference, prompts) for _ in range(ROUNDS)]
    excess = np.mean([one.value for one in found])  # of a distance that is 0
    assert np.mean([one.bias for one in found]) == pytest.approx(excess, rel=0.1)
    unaware = fid_estimate(clustered(rng, prompts), reference)
    assert unaware.bias < 0.6 * excess


def test_the_bias_of_fid_is_right_where_prompts_repeat_and_images_vary_more_than_real_ones():
    rng, prompts = np.random.default_rng(0), np.arange(512) // REPEATS
    reference = FeatureStats(np.zeros(DIMENSION), np.eye(DIMENSION) / 4, 10**9)
    excess, biases = [], []
    for _ in range(ROUNDS):
        features = clustered(rng, prompts)
        found = fid_estimate(features, reference, prompts)
        luck = 0.5 * (np.square(features).sum(axis=1).mean() - DIMENSION)  # to first order, and 0 on average
        excess.append(found.value - luck - DIMENSION / 4)  # the distance of spreads 1 and ½
        biases.append(found.bias)
    assert np.mean(biases) == pytest.approx(np.mean(excess), rel=0.1)


def test_the_bias_of_fid_for_gaussian_images_of_as_many_prompts_is_the_known_constant():
    features = np.random.default_rng(0).standard_normal((4096, DIMENSION))
    reference = FeatureStats(np.zeros(DIMENSION), np.eye(DIMENSION), 10**9)
    constant = DIMENSION + DIMENSION**2 / 4 + DIMENSION / 4  # Chong & Forsyth's C, for s = 1
    assert fid_estimate(features, reference).bias == pytest.approx(constant / 4096, rel=0.05)


def test_kid_and_cmmd_of_repeated_prompts_are_without_bias():
    rng, prompts = np.random.default_rng(0), np.arange(128) // REPEATS
    kids, cmmds = [], []
    for _ in range(ROUNDS):
        features, real = clustered(rng, prompts), rng.standard_normal((128, DIMENSION))
        kids.append([squared_mmd(features, real, prompts)[0], squared_mmd(features, real)[0]])
        x, y = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (features, real))
        within_y = float(np.exp((y @ y.T - 1) / 100).mean())
        cmmds.append(
            [one.value - one.bias for one in (cmmd_estimate(x, y, within_y, prompts), cmmd_estimate(x, y, within_y))]
        )
    for values in (np.array(kids), np.array(cmmds)):
        aware, unaware = values.mean(axis=0) / (values.std(axis=0) / np.sqrt(ROUNDS))
        assert abs(aware) < 3
        assert unaware > 5


def test_errors_of_a_mean_hold_where_one_prompt_has_most_of_the_images():
    rng, prompts = np.random.default_rng(0), np.minimum(np.arange(100), 60)
    drawn = [rng.standard_normal(61)[prompts] for _ in range(2000)]
    stated = np.mean([variance_of_mean(one - one.mean(), prompts) for one in drawn])
    assert stated == pytest.approx(np.var([one.mean() for one in drawn]), rel=0.1)
    assert effective_count(prompts) == pytest.approx(100**2 / (60 + 40**2))
    assert effective_count(np.arange(100) // 2) == 50


def test_halves_have_as_many_images_though_prompts_differ_in_theirs():
    prompts = np.minimum(np.arange(100), 60)
    assert first_half(prompts).sum() == 50
    assert list(first_half(np.arange(6))) == [True, False] * 3
    assert len(set(first_half(prompts)[60:])) == 1  # a prompt's images stay together


def test_the_third_cumulant_of_a_mean_is_what_repetition_shows():
    rng = np.random.default_rng(0)
    drawn = rng.exponential(size=(4000, 50))
    means = drawn.mean(axis=1)
    stated = np.mean([third_cumulant_of_mean(one, np.arange(50)) for one in drawn[:500]])
    assert stated == pytest.approx(np.mean((means - means.mean()) ** 3), rel=0.25)
