"""Held against diffusers' own pipeline and training functions, which define what Stable Diffusion 3 does."""

import pytest
import torch
from diffusers import StableDiffusion3Pipeline
from diffusers.training_utils import compute_density_for_timestep_sampling

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.model import Batch, GenerationRequest
from fashion_sweep.models.sd3.architecture import SD3
from fashion_sweep.models.sd3.model import SD3Model
from fashion_sweep.models.sd3.pipelines import open_t5
from fashion_sweep.models.sd3.sources import SOURCES

PROMPTS = ["The shirt this lady wears is of cotton.", "His sweater has long sleeves."]
SIZE = {"height": 16, "width": 12}
QUICK = load_run_config("exp2", "tiny").preset.generation.model_copy(
    update={"num_inference_steps": 3, "guidance_scale": 4.0, "refine_fraction": 0.0}
)


def noise(seed=0):
    return torch.randn(2, 4, 8, 6, generator=torch.Generator().manual_seed(seed))


def drawn(model, negative=None):
    return model.sample(GenerationRequest(PROMPTS, noise(), (160, 110), negative), QUICK).int()


def by_diffusers(model, negative=None):
    """uint8 N,3,H,W of the pipeline, called as its documentation says."""
    parts = {name: getattr(model.pipeline, name) for name in ("transformer", "vae", "text_encoder", "text_encoder_2")}
    parts |= {name: getattr(model.pipeline, name) for name in ("tokenizer", "tokenizer_2", "scheduler")}
    t5, tokenizer = model.t5 if model.config.t5 else (None, None)
    pipeline = StableDiffusion3Pipeline(text_encoder_3=t5, tokenizer_3=tokenizer, **parts)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        prompt=PROMPTS,
        negative_prompt=None if negative is None else [negative] * 2,
        num_inference_steps=QUICK.num_inference_steps,
        guidance_scale=QUICK.guidance_scale,
        latents=noise(),
        max_sequence_length=model.config.max_sequence_length,
        output_type="pt",
        **SIZE,
    ).images
    return (images * 255).round().int()


@pytest.mark.parametrize("changed", [{}, {"t5": False}, {"t5": False, "max_sequence_length": 0}, {"shift": 1.0}])
def test_pictures_are_those_of_diffusers(sd3_config, changed):
    model = SD3Model.load(sd3_config.model_copy(update=changed), "cpu")
    for negative in (None, "drawing"):
        assert (drawn(model, negative) - by_diffusers(model, negative)).abs().max() <= 1


def test_t5_is_loaded_when_it_is_to_read_and_changes_what_is_drawn(sd3_config, sd3):
    model = SD3Model.load(sd3_config, "cpu")
    assert model.pipeline.text_encoder_3 is None
    before = model.weight_bytes["base"]
    with_t5 = drawn(model)
    assert model.pipeline.text_encoder_3 is not None
    assert model.weight_bytes["base"] == before
    without = SD3Model.load(sd3_config.model_copy(update={"t5": False}), "cpu")
    assert without.weight_bytes["base"] < before  # in which T5 was reckoned before it came
    assert not torch.equal(with_t5, drawn(without))
    assert without.pipeline.text_encoder_3 is None


def test_t5_goes_once_captions_are_encoded_and_comes_back_when_it_is_to_read(sd3_config):
    model = SD3Model.load(sd3_config, "cpu")
    before = drawn(model)
    model.finish_encoding()
    assert model.pipeline.text_encoder_3 is None
    assert torch.equal(drawn(model), before)
    assert model.pipeline.text_encoder_3 is not None


def test_noise_levels_have_the_published_distribution(sd3):
    """Logit-normal, shifted by 3, as diffusers' training function and its scheduler draw them."""
    levels = sd3.sigmas(torch.arange(sd3.num_train_timesteps))
    torch.manual_seed(0)
    share = compute_density_for_timestep_sampling("logit_normal", 200_000, logit_mean=0.0, logit_std=1.0)
    sigmas = 3 * share / (1 + 2 * share)
    quantiles = torch.tensor([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
    assert torch.allclose(levels.quantile(quantiles), sigmas.quantile(quantiles), atol=0.01)
    assert levels.min() > 0
    assert levels.max() < 1
    assert (levels.diff() > 0).all()


def test_the_loss_is_that_of_the_velocity_from_image_to_noise(sd3):
    latents, drawn_noise, levels = noise(1), noise(2), torch.tensor([100, 900])
    text = sd3.encode_text(PROMPTS)
    losses = sd3.loss(Batch(latents, drawn_noise, levels, text))
    sigma = sd3.sigmas(levels)
    for number in range(2):
        share = sigma[number]
        noisy = (1 - share) * latents[number : number + 1] + share * drawn_noise[number : number + 1]
        own = {name: values[number : number + 1] for name, values in text.items()}
        velocity = sd3.predict(noisy, share[None] * 1000, own)
        expected = (velocity - (drawn_noise - latents)[number]).square().mean()
        assert losses[number] == pytest.approx(expected.item(), rel=1e-4)


def test_captions_as_tokens_have_the_loss_of_captions_that_are_encoded(sd3):
    batches = [
        Batch(noise(1), noise(2), torch.tensor([10, 500]), encode(PROMPTS))
        for encode in (sd3.encode_text, sd3.tokenize)
    ]
    encoded, tokens = (sd3.loss(batch) for batch in batches)
    assert torch.allclose(encoded, tokens, rtol=1e-4)


def test_what_is_encoded_is_decoded_again_in_the_scale_of_the_autoencoder(sd3):
    images = torch.rand(2, 3, 16, 12) * 2 - 1
    latents = sd3.encode_images(images, torch.zeros(2, 4, 8, 6))
    config = sd3.pipeline.vae.config
    mean = sd3.pipeline.vae.encode(images).latent_dist.mean
    assert torch.allclose(latents, (mean - config.shift_factor) * config.scaling_factor, atol=1e-5)
    expected = ((sd3.pipeline.vae.decode(mean).sample / 2 + 0.5).clamp(0, 1) * 255).round()
    assert (sd3.decode(latents).float() - expected).abs().max() <= 1


@pytest.fixture(scope="module")
def without_t5(sd3_config, tmp_path_factory):
    """The configuration of a folder of weights in which T5 is left out, that asks for it."""
    folder = tmp_path_factory.mktemp("without-t5")
    SD3Model.load(sd3_config.model_copy(update={"t5": False}), "cpu").pipeline.save_pretrained(folder)
    return sd3_config.model_copy(update={"base": str(folder)})


def test_a_folder_without_t5_is_told_before_anything_is_loaded(without_t5):
    with pytest.raises(ConfigError, match=r"model\.t5: .* has no text_encoder_3; set it to false"):
        SD3.check(without_t5)
    SD3.check(without_t5.model_copy(update={"t5": False}))
    SD3.check(without_t5.model_copy(update={"max_sequence_length": 0}))


def test_a_t5_that_cannot_be_loaded_is_one_line(without_t5):
    with pytest.raises(ConfigError, match=r"model\.t5: the T5 of .* cannot be loaded") as raised:
        open_t5(without_t5)
    assert "\n" not in str(raised.value)


def test_a_single_file_is_told_to_be_a_folder(tmp_path):
    path = tmp_path / "sd3.safetensors"
    path.write_bytes(b"")
    with pytest.raises(ConfigError, match="is a file; a Stable Diffusion 3 is read from a folder"):
        SOURCES.locate(str(path), "model.base")
