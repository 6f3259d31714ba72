"""CMMD against the formula of its paper, computed otherwise, and against repetition."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.metrics.cmmd import CMMD
from fashion_sweep.metrics.evaluate import evaluate, real_statistics
from fashion_sweep.metrics.metric import RealImages

EVALUATION = load_run_config("exp2", "tiny").preset.evaluation


def embeddings(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """count,16, of no particular length."""
    return np.random.default_rng(seed).standard_normal((count, 16)) + shift


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.exp(-cdist(unit(x), unit(y), "sqeuclidean") / (2 * 10**2))


def biased(x: np.ndarray, y: np.ndarray) -> float:
    """The V-statistic, as the authors' code has it."""
    return 1000 * (kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean())


def unbiased(x: np.ndarray, y: np.ndarray) -> float:
    n, m = len(x), len(y)
    within_x, within_y = (kernel(x, x).sum() - n) / (n * (n - 1)), (kernel(y, y).sum() - m) / (m * (m - 1))
    return 1000 * (within_x + within_y - 2 * kernel(x, y).mean())


def estimated(x, y):
    real = RealImages({"features": y}, real_statistics([CMMD], {"features": y}, EVALUATION))
    return evaluate([CMMD], {"features": x}, real, EVALUATION, np.arange(len(x)))["cmmd"]


@pytest.mark.parametrize("count", [50, 700])  # in one block of rows, and in two
def test_the_value_is_the_authors_and_less_its_bias_the_unbiased_one(count):
    x, y = embeddings(count, 1, shift=0.3), embeddings(80, 2)
    found = estimated(x, y)
    assert found.value == pytest.approx(biased(x, y), rel=1e-9)
    assert found.value - found.bias == pytest.approx(unbiased(x, y), rel=1e-7)


def test_the_influence_is_the_jackknife_s_of_the_unbiased_value():
    x, y = embeddings(60, 1, shift=0.3), embeddings(80, 2)
    without = np.array([unbiased(np.delete(x, i, axis=0), y) for i in range(60)])
    jackknife = 59 * (unbiased(x, y) - without)
    influence = estimated(x, y).influence
    assert influence.mean() == pytest.approx(0, abs=1e-9)
    assert np.allclose(influence, jackknife, atol=0.05 * np.abs(jackknife).max())


def test_the_standard_error_is_the_spread_of_repeated_estimates():
    y = embeddings(300, 0)
    found = [estimated(embeddings(200, seed, shift=0.3), y) for seed in range(1, 121)]
    spread = np.std([one.value - one.bias for one in found])
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.2)


def test_of_one_distribution_it_is_zero_but_for_chance_at_any_number_of_images():
    values = [
        (one := estimated(embeddings(30, seed), embeddings(30, 1000 + seed))).value - one.bias for seed in range(200)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
