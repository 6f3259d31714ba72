"""The loss that tells what an adapter has forgotten."""

import numpy as np
import pytest
import torch

from fashion_sweep.adapters import attaching
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.models.sdxl.model import SDXLModel
from fashion_sweep.training.denoising_loss import LossSample, denoising_losses, loss_increase

COUNT = 20


@pytest.fixture(scope="module")
def sample():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(COUNT, 8, 12, 16, generator=generator)
    captions = [f"A photograph of {i} things." for i in range(COUNT)]
    return LossSample(latents, {"time_ids": torch.ones(COUNT, 6)}, captions, first=0, total=COUNT, seed=3)


def part(sample: LossSample, rows: slice) -> LossSample:
    framing = {name: tensor[rows] for name, tensor in sample.framing.items()}
    return LossSample(sample.latents[rows], framing, sample.captions[rows], rows.start, sample.total, sample.seed)


def test_an_images_loss_does_not_depend_on_which_shard_it_is_in(model, sample):
    whole = denoising_losses(model, sample)
    parts = [denoising_losses(model, part(sample, rows)) for rows in (slice(0, 7), slice(7, COUNT))]
    assert torch.allclose(whole, torch.cat(parts), rtol=1e-4)


def test_the_adapted_models_loss_differs_where_its_adapter_does_something(config, model, sample, tmp_path):
    adapted = SDXLModel.load(config.preset.model, "cpu")
    parameters = attaching.attach(adapted.components, TrialSpec.of({"unet": 1}), config.preset.training, seed=0)
    assert torch.allclose(denoising_losses(adapted, sample), denoising_losses(model, sample), rtol=1e-4)
    generator = torch.Generator().manual_seed(0)
    for parameter in parameters.values():
        parameter.data.normal_(std=0.3, generator=generator)
    assert (denoising_losses(adapted, sample) - denoising_losses(model, sample)).abs().min() > 1e-5


def test_the_error_of_the_increase_is_that_of_paired_differences():
    rng = np.random.default_rng(0)
    base = rng.uniform(0, 1, 400)
    increase = 0.01 + 0.002 * rng.standard_normal(400)
    told = loss_increase(base + increase, base)
    assert told["loss_increase"] == pytest.approx(increase.mean())
    assert told["loss_increase_se"] == pytest.approx(0.002 / 20, rel=0.1)
    assert told["loss_samples"] == 400
