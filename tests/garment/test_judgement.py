"""Intervals of shares."""

import pytest

from fashion_sweep.garment.judgement import share


@pytest.mark.parametrize(
    ("value", "count", "low", "high"), [(1.0, 8, 0.676, 1.0), (0.5, 10, 0.237, 0.763), (0.0, 20, 0.0, 0.161)]
)
def test_an_interval_of_few_seeds_is_wide_also_where_all_agree(value, count, low, high):
    found = share(value, count)
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=5e-4)
