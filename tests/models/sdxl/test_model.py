"""Held against diffusers' own pipelines, which define what SDXL does."""

import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file, save_file

from fashion_sweep.models import pipeline_model
from fashion_sweep.models.model import GenerationRequest
from fashion_sweep.models.sdxl.model import SDXLModel
from fashion_sweep.rng import standard_normal

PROMPTS = ["The shirt this lady wears is of cotton.", "His sweater has long sleeves."]
NEGATIVE = "drawing, cartoon"
LATENTS = (8, 16, 12)


def request(**changes) -> GenerationRequest:
    noise = torch.stack([standard_normal(0, "generate", i, shape=LATENTS) for i in range(2)])
    values = {"prompts": PROMPTS, "noise": noise, "original_size": (160, 110)} | changes
    return GenerationRequest(**values)


def by_diffusers(model: SDXLModel, config, negative_prompt) -> torch.Tensor:
    """uint8 N,3,H,W from the base and refiner pipelines called as their documentation says."""
    negative = None if negative_prompt is None else [negative_prompt] * 2
    shared = {
        "prompt": PROMPTS,
        "negative_prompt": negative,
        "num_inference_steps": config.num_inference_steps,
        "guidance_scale": config.guidance_scale,
        "original_size": (160, 110),
    }
    for pipeline in (model.pipeline, model.refiner):
        pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
        pipeline.set_progress_bar_config(disable=True)
    refine = config.refine_fraction > 0
    latents = model.pipeline(
        **shared,
        latents=request().noise,
        height=64,
        width=48,
        denoising_end=1 - config.refine_fraction if refine else None,
        output_type="latent" if refine else "np",
    ).images
    images = latents
    if refine:
        # diffusers would encode latents of another number of channels than four, as if they were pictures
        model.refiner.image_processor.register_to_config(vae_latent_channels=latents.shape[1])
        model.refiner.prepare_latents = lambda image, *_: image
        images = model.refiner(
            **shared, image=latents, denoising_start=1 - config.refine_fraction, target_size=(64, 48), output_type="np"
        ).images
    return torch.from_numpy((images * 255).round().astype("uint8")).movedim(-1, 1)


@pytest.mark.parametrize("negative_prompt", [None, NEGATIVE])
@pytest.mark.parametrize("refine_fraction", [0.2, 0.0])
def test_images_are_those_of_the_diffusers_pipelines(model, config, refine_fraction, negative_prompt):
    generation = config.preset.generation.model_copy(
        update={"num_inference_steps": 10, "refine_fraction": refine_fraction, "guidance_scale": 3.0}
    )
    ours = model.sample(request(negative_prompt=negative_prompt), generation)
    theirs = by_diffusers(model, generation, negative_prompt)
    assert ours.shape == (2, 3, 64, 48)
    difference = (ours.int() - theirs.int()).abs()
    assert difference.max() <= 1  # the order of float32 sums may turn a rounding
    assert difference.float().mean() < 0.01


def test_a_negative_prompt_and_the_refiner_change_the_image(model, config):
    generation = config.preset.generation.model_copy(update={"num_inference_steps": 5})
    plain = model.sample(request(), generation)
    assert not torch.equal(plain, model.sample(request(negative_prompt=NEGATIVE), generation))
    unrefined = generation.model_copy(update={"refine_fraction": 0.0})
    assert not torch.equal(plain, model.sample(request(), unrefined))


def test_captions_are_encoded_as_the_pipeline_encodes_prompts(model):
    ours = model.encode_text(PROMPTS)
    prompt_embeds, _, pooled, _ = model.pipeline.encode_prompt(
        prompt=PROMPTS, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    assert torch.allclose(ours["prompt_embeds"], prompt_embeds, atol=1e-5)
    assert torch.allclose(ours["pooled"], pooled, atol=1e-5)


def test_latents_are_a_scaled_draw_from_the_posterior(model):
    images = torch.rand(2, 3, 64, 48) * 2 - 1
    mean = model.encode_images(images, torch.zeros(2, *LATENTS))
    posterior = model.pipeline.vae.encode(images).latent_dist
    factor = model.pipeline.vae.config.scaling_factor
    assert torch.allclose(mean, posterior.mean * factor, atol=1e-5)
    drawn = model.encode_images(images, torch.ones(2, *LATENTS))
    assert torch.allclose(drawn - mean, posterior.std * factor, atol=1e-5)
    assert model.latent_shape(64, 48) == tuple(mean.shape[1:])


def test_the_autoencoder_gets_as_many_images_at_once_as_its_memory_allows(model, monkeypatch):
    given, parts = [], (model.pipeline.vae.encoder, model.pipeline.vae.decoder)
    hooks = [part.register_forward_pre_hook(lambda _, tensors: given.append(len(tensors[0]))) for part in parts]
    images, noise = torch.rand(5, 3, 64, 48) * 2 - 1, torch.randn(5, *LATENTS)
    latents = model.encode_images(images, noise)
    decoded = model.decode(latents)
    monkeypatch.setattr(pipeline_model, "AUTOENCODER_PIXELS", 2 * 64 * 48)
    assert torch.allclose(model.encode_images(images, noise), latents, atol=1e-5)
    assert (model.decode(latents).int() - decoded.int()).abs().max() <= 1
    monkeypatch.setattr(pipeline_model, "AUTOENCODER_PIXELS", 1)
    assert len(model.decode(latents)) == 5
    for hook in hooks:
        hook.remove()
    assert given == [5, 5, 2, 2, 1, 2, 2, 1, 1, 1, 1, 1, 1]


def test_a_fused_adapter_file_changes_the_image_as_diffusers_applies_it(config, tmp_path):
    from fashion_sweep.adapters import attaching
    from fashion_sweep.adapters.formats import read_metadata
    from fashion_sweep.adapters.fusing import fuse
    from fashion_sweep.config.trial_spec import TrialSpec
    from fashion_sweep.models.sdxl.architecture import SDXL as ARCHITECTURE

    spec = TrialSpec.of({"unet": 2})
    trained = SDXLModel.load(config.preset.model, "cpu")
    attaching.attach(trained.components, spec, config.preset.training, seed=0)
    path = tmp_path / "pytorch_lora_weights.safetensors"
    attaching.save(path, trained.components, spec)
    tensors = load_file(path)
    moved = {k: torch.randn_like(v, generator=None) * 0.3 if "lora_B" in k else v for k, v in tensors.items()}
    save_file(moved, path, metadata=read_metadata(path))
    generation = config.preset.generation.model_copy(update={"num_inference_steps": 5, "refine_fraction": 0.0})
    base = SDXLModel.load(config.preset.model, "cpu", for_pictures=True)
    untouched = base.sample(request(), generation)
    fuse(path, ARCHITECTURE, base.components)
    plain = SDXLModel.load(config.preset.model, "cpu", for_pictures=True)
    plain.pipeline.load_lora_weights(tmp_path)
    expected = by_diffusers(plain, generation, None)
    ours = base.sample(request(), generation)
    assert (ours.int() - expected.int()).abs().max() <= 2
    assert not torch.equal(ours, untouched)


def test_bf16_weights_work_and_keep_latents_and_size_conditioning_in_float32(config, model):
    generation = config.preset.generation.model_copy(update={"num_inference_steps": 5})
    rounded = SDXLModel.load(config.preset.model.model_copy(update={"dtype": "bfloat16"}), "cpu", for_pictures=True)
    seen = []
    rounded.pipeline.unet.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["added_cond_kwargs"]["time_ids"]), with_kwargs=True
    )
    images = rounded.sample(request(original_size=(1101, 750)), generation)
    assert {ids.dtype for ids in seen} == {torch.float32}
    assert tuple(seen[0][0, :2].int().tolist()) == (1101, 750)
    reference = model.sample(request(original_size=(1101, 750)), generation)
    assert (images.int() - reference.int()).abs().float().mean() < 8
