import numpy as np
import torch

from fashion_sweep import rng as draws


def test_a_draw_depends_on_seed_purpose_and_index_only():
    first = draws.standard_normal(0, "train/noise", 3, shape=(4, 2, 2))
    torch.manual_seed(99)
    torch.randn(10)
    assert torch.equal(first, draws.standard_normal(0, "train/noise", 3, shape=(4, 2, 2)))
    others = [(1, "train/noise", 3), (0, "validation/noise", 3), (0, "train/noise", 4)]
    for seed, purpose, index in others:
        assert not torch.equal(first, draws.standard_normal(seed, purpose, index, shape=(4, 2, 2)))


def test_draws_stay_what_they_were():
    """Numbers of earlier runs would silently change with these."""
    assert draws.key(0, "train/noise", 3) == 6055791905430029647
    assert draws.permutation(0, "data/split", length=5).tolist() == [2, 0, 3, 4, 1]


def test_integers_cover_their_range():
    values = [draws.uniform_integer(0, "t", i, high=4) for i in range(400)]
    assert np.bincount(values, minlength=4).min() > 60
