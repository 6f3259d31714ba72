"""Bounds of group-sequential tests, against published ones and a random walk."""

import numpy as np
import pytest
from scipy import stats

from fashion_sweep.statistics.spending import critical_values, pocock

FIVE = [0.2, 0.4, 0.6, 0.8, 1.0]


def obrien_fleming(share: float, error: float) -> float:
    """Spends little at first, and nearly all at the end: bounds like those of O'Brien & Fleming."""
    return float(2 * stats.norm.sf(stats.norm.isf(error / 2) / np.sqrt(share)))


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        (obrien_fleming, [4.8769, 3.3569, 2.6803, 2.2898, 2.0310]),
        (pocock, [2.4380, 2.4268, 2.4102, 2.3966, 2.3860]),
    ],
)
def test_bounds_are_those_that_are_published(spending, published):
    assert critical_values(FIVE, 0.025, spending) == pytest.approx(published, abs=2e-4)


def test_a_single_look_is_an_ordinary_test():
    assert critical_values([1.0], 0.05, pocock) == pytest.approx([1.6449], abs=1e-4)


def test_over_uneven_looks_no_more_than_the_error_is_spent():
    shares = np.array([0.0625, 0.125, 0.25, 0.5, 1.0])
    bounds = critical_values(shares, 0.05, pocock)
    steps = np.sqrt(np.diff(shares, prepend=0.0)) * np.random.default_rng(0).standard_normal((200_000, 5))
    crossed = (steps.cumsum(axis=1) / np.sqrt(shares) > bounds).any(axis=1)
    assert crossed.mean() == pytest.approx(0.05, abs=0.002)


def test_where_nothing_is_spent_yet_nothing_is_called():
    first, *_, last = critical_values([0.01, 0.5, 1.0], 1e-3, obrien_fleming)
    assert first > 15
    assert last == pytest.approx(3.09, abs=0.02)
