"""Intervals of shares and of means."""

import pytest

from fashion_sweep.tasks.garment.judgement import SeedEstimate, _estimate, _mean_share, _widened, share


@pytest.mark.parametrize(
    ("value", "count", "low", "high"), [(1.0, 8, 0.676, 1.0), (0.5, 10, 0.237, 0.763), (0.0, 20, 0.0, 0.161)]
)
def test_an_interval_of_few_seeds_is_wide_also_where_all_agree(value, count, low, high):
    found = share(value, count)
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=5e-4)


def test_an_interval_of_a_mean_is_students_over_seeds():
    values = {(prompt, seed): seed + shift for prompt, shift in (("a", -1.0), ("b", 1.0)) for seed in range(4)}
    found = _estimate(values)
    half = 3.1824 * 1.29099 / 2  # t of 3 degrees of freedom, the seeds' own means being 0 to 3
    assert (found.value, found.low, found.high) == pytest.approx((1.5, 1.5 - half, 1.5 + half), abs=1e-3)


def test_one_seed_has_no_interval():
    found = _estimate({("a", 0): 1.0, ("b", 0): 3.0})
    assert (found.value, found.low, found.high) == (2.0, None, None)


def test_an_interval_of_a_mean_share_is_over_seeds_and_stays_within_0_and_1():
    mixed = _mean_share({("a", seed): float(seed > 0) for seed in range(8)})
    assert mixed.low == pytest.approx(0.875 - 2.3646 * 0.35355 / 8**0.5, abs=1e-3)
    assert mixed.high == 1
    assert _mean_share({("a", seed): 1.0 for seed in range(8)}) == share(1.0, 8)


def test_seeds_that_agree_on_a_difference_do_not_make_it_certain():
    always = _widened(SeedEstimate(0.5, 0.5, 0.5), share(1.0, 2), share(0.5, 2))
    assert (always.value, always.low, always.high) == pytest.approx((0.5, 0.342 - 0.905, 1 - 0.095), abs=2e-3)
    spread = SeedEstimate(0.5, 0.4, 0.6)
    assert _widened(spread, share(1.0, 2), share(0.5, 2)) == spread
