"""Dropout of adapters: the same values whatever stands beside a sample, and as many as asked for."""

import pytest
import torch

from fashion_sweep.adapters.dropout import SampleDropout

SAMPLES = torch.tensor([7, -(2**62), 123456789012345678, 3])
ONES = torch.ones(4, 300, 40)


def dropped(probability=0.25, layer=5, samples=SAMPLES, values=ONES):
    dropout = SampleDropout(probability, layer)
    dropout.samples = samples
    return dropout(values)


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.9])
def test_as_many_values_are_dropped_as_asked_for_and_the_mean_stays(probability):
    values = dropped(probability)
    share = (values == 0).float().mean().item()
    assert share == pytest.approx(probability, abs=4 * (probability * (1 - probability) / values.numel()) ** 0.5)
    assert set(values[values != 0].tolist()) == {torch.tensor(1 / (1 - probability)).item()}


def test_each_sample_drops_the_same_whatever_stands_beside_it():
    together = dropped()
    apart = torch.cat([dropped(samples=SAMPLES[i : i + 1], values=ONES[i : i + 1]) for i in (3, 1)])
    assert torch.equal(together[[3, 1]], apart)


def test_samples_layers_and_places_drop_independently():
    def agreement(one, other):
        return ((one == 0) == (other == 0)).float().mean().item()

    values, expected = dropped(0.5), pytest.approx(0.5, abs=0.03)
    assert agreement(values[0], values[1]) == expected
    assert agreement(values, dropped(0.5, layer=6)) == expected
    assert agreement(values[:, 1:], values[:, :-1]) == expected
    assert agreement(values[..., 1:], values[..., :-1]) == expected


def test_nothing_is_dropped_in_validation_or_drawing():
    assert torch.equal(dropped(samples=None), ONES)
    dropout = SampleDropout(0.5, 1).eval()
    dropout.samples = SAMPLES
    assert torch.equal(dropout(ONES), ONES)
