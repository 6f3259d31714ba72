"""Opens SDXL's base and refiner as diffusers' pipelines: from the hub, a folder, or a single-file checkpoint."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline

from fashion_sweep.config.model_config import RANDOM
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.clip_tokenizers import clip_tokenizer
from fashion_sweep.models.pipeline_sources import variant_of
from fashion_sweep.models.random_weights import random_pipeline
from fashion_sweep.models.sdxl.config import SDXLConfig
from fashion_sweep.models.sdxl.schedule import check_alike, schedule_of
from fashion_sweep.models.sdxl.sources import SOURCES
from fashion_sweep.models.sources import is_file

SCALING_FACTOR = 0.13025
"""The scaling of latents where an autoencoder's config has none; diffusers' default is Stable Diffusion 1's."""
OTHER_SCALING = ("shift_factor", "latents_mean", "latents_std")
FORCE_ZEROS = {"model.base": True, "model.refiner": False}
"""The default of `force_zeros_for_empty_prompt` by key of the model: as SDXL's models were trained."""


def open_base(config: SDXLConfig) -> Any:
    """Opens the base in `config.dtype`, its autoencoder in float32, with a `DDIMScheduler`."""
    pipeline = _open(StableDiffusionXLPipeline, config.base, "model.base", config.dtype, _own_vae(config))
    _check_vae(pipeline, config)
    return pipeline


def open_refiner(config: SDXLConfig, base: Any) -> Any:
    """Opens the refiner with the base's autoencoder: it goes on from the base's latents."""
    assert config.refiner
    refiner = _open(StableDiffusionXLImg2ImgPipeline, config.refiner, "model.refiner", config.dtype, base.vae)
    check_alike(config, base.scheduler.config, refiner.scheduler.config)
    return refiner


def _check_vae(pipeline: Any, config: SDXLConfig) -> None:
    vae = pipeline.vae
    ours, wanted = vae.config.latent_channels, pipeline.unet.config.in_channels
    if ours != wanted:
        raise ConfigError(f"model.vae: has latents of {ours} channels, {config.base} works on {wanted}")
    for key in OTHER_SCALING:
        if vae.config.get(key) is not None:
            raise ConfigError(f"model.vae: {config.vae or config.base} has a {key} of its latents, as SDXL's has not")
    if "scaling_factor" in vae.config.get("_use_default_values", ()):
        vae.register_to_config(scaling_factor=SCALING_FACTOR)


def _own_vae(config: SDXLConfig) -> Any | None:
    """Opens the autoencoder; None where diffusers takes it from the base's folder along with the rest."""
    if config.vae is not None:
        return _open_vae(config.vae, "model.vae")
    return _open_vae(config.base, "model.base") if is_file(SOURCES.locate(config.base, "model.base")) else None


def _open(family: Any, name: str, key: str, dtype: str, vae: Any | None) -> Any:
    pipeline = _read(family, name, key, dtype, vae)
    for part in ("tokenizer", "tokenizer_2"):  # one that does not tell its length takes texts without end
        if tokenizer := getattr(pipeline, part):
            positions = getattr(pipeline, part.replace("tokenizer", "text_encoder")).config.max_position_embeddings
            tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
    return pipeline


def _read(family: Any, name: str, key: str, dtype: str, vae: Any | None) -> Any:
    location = SOURCES.locate(name, key)
    schedule = schedule_of(name, key, lambda folder: DDIMScheduler.load_config(folder, subfolder="scheduler"))
    options: dict[str, Any] = {"add_watermarker": False, "scheduler": DDIMScheduler(**schedule)}
    options |= {"vae": vae} if vae is not None else {}
    if is_file(location):
        folder = SOURCES.packaged_configs(key)
        wanted = ("tokenizer", "tokenizer_2") if family is StableDiffusionXLPipeline else ("tokenizer_2",)
        tokenizers = {part: clip_tokenizer(part) for part in wanted if not (folder / part).is_dir()}
        return family.from_single_file(
            location, config=str(folder), local_files_only=True, dtype=getattr(torch, dtype), **options, **tokenizers
        )
    dtypes = {"default": getattr(torch, dtype), "vae": torch.float32}
    if name.startswith(RANDOM):
        return random_pipeline(family, Path(location), dtypes, **options)
    index = family.load_config(location)
    SOURCES.check_parts(name, key, index)
    options |= {"force_zeros_for_empty_prompt": index.get("force_zeros_for_empty_prompt", FORCE_ZEROS[key])}
    options |= {"variant": variant_of(Path(location).glob("*/*.safetensors"))}
    return family.from_pretrained(location, dtype=dtypes, use_safetensors=True, trust_remote_code=False, **options)


def _open_vae(name: str, key: str) -> Any:
    """Opens an autoencoder in float32, from a model of its own or from a whole pipeline."""
    location = SOURCES.locate(name, key)
    if is_file(location):
        folder = str(SOURCES.packaged_configs(key))
        return AutoencoderKL.from_single_file(
            location, config=folder, subfolder="vae", local_files_only=True, dtype=torch.float32
        )
    inside = Path(location) / "vae"
    options: dict[str, Any] = {"subfolder": "vae"} if inside.is_dir() else {}
    options |= {"variant": variant_of((inside if options else Path(location)).glob("*.safetensors"))}
    return AutoencoderKL.from_pretrained(location, dtype=torch.float32, use_safetensors=True, **options)
