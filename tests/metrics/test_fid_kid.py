import numpy as np
import pytest
import scipy.linalg
import torch

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.metrics.fid import FID, feature_stats, frechet_distance
from fashion_sweep.metrics.kid import kid, squared_mmd


def features(count: int, dimension: int, seed: int, shift: float = 0.0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).standard_normal((dimension, dimension))
    return (draw.standard_normal((count, dimension)) @ mixing + shift).astype(np.float32)


def test_fid_agrees_with_the_matrix_square_root():
    a, b = features(300, 16, 1), features(400, 16, 2, shift=0.5) * 1.1
    mean_a, mean_b = a.mean(0, dtype=np.float64), b.mean(0, dtype=np.float64)
    cov_a, cov_b = np.cov(a.astype(np.float64), rowvar=False), np.cov(b.astype(np.float64), rowvar=False)
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    expected = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b - 2 * root)
    assert frechet_distance(feature_stats(a), feature_stats(b)) == pytest.approx(expected, rel=1e-9)


def test_fid_agrees_with_torchmetrics():
    from torchmetrics.image.fid import _compute_fid

    a, b = feature_stats(features(300, 8, 1)), feature_stats(features(400, 8, 2, shift=0.5))
    theirs = _compute_fid(*(torch.from_numpy(x) for x in (a.mean, a.covariance, b.mean, b.covariance)))
    assert frechet_distance(a, b) == pytest.approx(theirs.item(), rel=1e-9)


def test_fid_of_a_set_with_itself_is_zero_and_it_is_symmetric():
    a, b = feature_stats(features(300, 8, 1)), feature_stats(features(400, 8, 2, shift=0.5))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)


def test_features_that_are_not_finite_never_become_a_number():
    with pytest.raises(ValueError, match="not finite"):
        feature_stats(np.array([[0.0, np.nan], [1.0, 2.0], [3.0, 4.0]]))


@pytest.mark.parametrize(("samples", "enough"), [(159, False), (160, True)])
def test_fid_needs_two_and_a_half_samples_a_dimension(samples, enough):
    evaluation = load_run_config("exp2", "tiny").preset.evaluation
    assert (FID.shortage(samples, evaluation) is None) is enough


def test_squared_mmd_agrees_with_torchmetrics():
    from torchmetrics.image.kid import poly_mmd

    a, b = features(60, 8, 1), features(60, 8, 2, shift=0.3)
    theirs = poly_mmd(torch.from_numpy(a).double(), torch.from_numpy(b).double()).item()
    assert squared_mmd(a, b)[0] == pytest.approx(theirs, rel=1e-9)


def test_kid_is_unbiased_at_any_size():
    """FID of such small sets would be far from zero; KID's mean is zero within its error."""
    values = [kid(features(40, 8, seed), features(40, 8, seed + 1000), 20).value for seed in range(200)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_kids_standard_error_is_the_spread_of_repeated_estimates():
    estimates = [kid(features(200, 4, seed), features(200, 4, seed + 1000, shift=0.4), 20) for seed in range(150)]
    spread = np.std([estimate.value for estimate in estimates])
    assert np.mean([estimate.standard_error for estimate in estimates]) == pytest.approx(spread, rel=0.2)


def test_kid_without_two_subsets_is_refused():
    with pytest.raises(ValueError, match="two subsets"):
        kid(features(30, 4, 1), features(30, 4, 2), 20)


def test_kids_influence_is_the_jackknife_s():
    a, b = features(60, 8, 1), features(60, 8, 2, shift=0.3)
    value, influence = squared_mmd(a, b)
    without = np.array([squared_mmd(np.delete(a, i, axis=0), b)[0] for i in range(60)])
    assert np.allclose(influence, 59 * (value - without), rtol=0.1, atol=0.05 * np.abs(influence).max())
