"""Options that make things faster or smaller and leave what comes out within rounding."""

import pytest
import torch

from fashion_sweep.adapters import attaching
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.metrics.judge import Judge
from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.models.model import Batch
from fashion_sweep.models.precision import tf32
from fashion_sweep.models.sdxl.model import SDXLModel
from tests.models.sdxl.test_model import request as images_of

SPEC = TrialSpec.of({"unet": 1})


@pytest.fixture(scope="module")
def generation(config):
    return config.preset.generation.model_copy(update={"num_inference_steps": 5})


def loaded(config, **changes) -> SDXLModel:
    return SDXLModel.load(config.preset.model.model_copy(update=changes), "cpu", for_pictures=True)


@pytest.mark.parametrize("option", ["channels_last", "compile"])
def test_images_stay_the_same(config, model, generation, option):
    images = loaded(config, **{option: True}).sample(images_of(), generation)
    difference = (images.int() - model.sample(images_of(), generation).int()).abs()
    assert difference.max() <= 1
    assert difference.float().mean() < 0.01


def test_channels_last_is_how_convolutions_are_stored(config):
    model = loaded(config, channels_last=True)
    for convolution in (model.pipeline.unet.conv_in, model.refiner.unet.conv_in, model.pipeline.vae.decoder.conv_in):
        assert convolution.weight.is_contiguous(memory_format=torch.channels_last)


def test_transformer_blocks_are_compiled_where_it_is_asked_for(config, model):
    def compiled(network):
        blocks = [part for part in network.modules() if type(part).__name__ == "BasicTransformerBlock"]
        return {block._compiled_call_impl is not None for block in blocks}

    asked = loaded(config, compile=True)
    assert compiled(asked.pipeline.unet) == compiled(asked.refiner.unet) == {True}
    assert compiled(model.pipeline.unet) == {False}


@pytest.mark.parametrize(
    ("settings", "tolerance"),
    [({"compile": True}, 1e-4), ({"channels_last": True}, 1e-4), ({"dtype": "bfloat16"}, 0.25)],
)
def test_the_gradient_of_an_adapter_stays_the_same_and_in_float32(config, gradient, settings, tolerance):
    other = gradient_of(loaded(config, **settings), config)
    assert (gradient - other).norm() < tolerance * gradient.norm()


@pytest.fixture(scope="module")
def gradient(config):
    return gradient_of(loaded(config), config)


def gradient_of(model: SDXLModel, config) -> torch.Tensor:
    """With regard to B, of one sample, with gradient checkpointing, as the study trains."""
    parameters = attaching.attach(model.components, SPEC, config.preset.training, seed=0)
    model.prepare_training(["unet"], gradient_checkpointing=True)
    text = model.encode_text(["The shirt is of cotton."])
    conditioning = {name: tensor.clone() for name, tensor in text.items()}
    conditioning["time_ids"] = torch.tensor([[64.0, 48.0, 0, 0, 64, 48]])
    seen = torch.randn(1, 8, 16, 12, generator=torch.Generator().manual_seed(0))
    latents = seen / model.scheduler.alphas_cumprod[500].sqrt()  # without noise: the loss is the prediction squared
    model.loss(Batch(latents, torch.zeros_like(latents), torch.tensor([500]), conditioning)).mean().backward()
    assert all(parameter.dtype == torch.float32 for parameter in parameters.values())
    return torch.cat([p.grad.flatten() for name, p in parameters.items() if "lora_B" in name])


@pytest.mark.parametrize("allowed", [True, False])
def test_tf32_is_set_within_and_as_it_was_after(allowed):
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    with tf32(allowed):
        assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (allowed, allowed)
    assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == before


def test_features_are_computed_without_tf32_even_where_it_is_on(config, monkeypatch):
    judge, seen = Judge(config.preset.evaluation, metrics_of(["fid"]), "cpu"), []
    monkeypatch.setattr(
        next(iter(judge.networks.values())),
        "image_features",
        lambda images: seen.append((torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)),
    )
    with tf32(True):
        judge.features(torch.zeros(1, 3, 64, 48, dtype=torch.uint8), "features")
    assert seen == [(False, False)]
