"""Opens SDXL's base and refiner as diffusers' pipelines: from the hub, a folder, or a single-file checkpoint."""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline

from fashion_sweep.config import ModelConfig
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.locate import RANDOM, architecture_of, check_parts, is_file, locate
from fashion_sweep.models.random_weights import random_pipeline
from fashion_sweep.models.tokenizers import clip_tokenizer


def open_base(config: ModelConfig) -> Any:
    """Weights in `config.dtype`, those of the autoencoder in float32."""
    pipeline = _open(StableDiffusionXLPipeline, config.base, "model.base", config.dtype, _own_vae(config))
    ours, wanted = pipeline.vae.config.latent_channels, pipeline.unet.config.in_channels
    if ours != wanted:
        raise ConfigError(f"model.vae: has latents of {ours} channels, {config.base} works on {wanted}")
    return pipeline


def open_refiner(config: ModelConfig, vae: Any) -> Any:
    """With the base's autoencoder: the refiner goes on from the base's latents."""
    assert config.refiner
    return _open(StableDiffusionXLImg2ImgPipeline, config.refiner, "model.refiner", config.dtype, vae)


def _own_vae(config: ModelConfig) -> Any | None:
    """None where diffusers takes it from the base's folder along with the rest."""
    if config.vae is not None:
        return _open_vae(config.vae, "model.vae")
    return _open_vae(config.base, "model.base") if is_file(locate(config.base, "model.base")) else None


def _open(family: Any, name: str, key: str, dtype: str, vae: Any | None) -> Any:
    location = locate(name, key)
    options: dict[str, Any] = {"add_watermarker": False} | ({"vae": vae} if vae is not None else {})
    if is_file(location):
        folder = architecture_of(key)
        wanted = ("tokenizer", "tokenizer_2") if family is StableDiffusionXLPipeline else ("tokenizer_2",)
        tokenizers = {part: clip_tokenizer(part) for part in wanted if not (folder / part).is_dir()}
        return family.from_single_file(
            location, config=str(folder), local_files_only=True, dtype=getattr(torch, dtype), **options, **tokenizers
        )
    dtypes = {"default": getattr(torch, dtype), "vae": torch.float32}
    if name.startswith(RANDOM):
        return random_pipeline(family, Path(location), dtypes, **options)
    check_parts(name, key, family.load_config(location))
    return family.from_pretrained(location, dtype=dtypes, use_safetensors=True, trust_remote_code=False, **options)


def _open_vae(name: str, key: str) -> Any:
    """In float32, of a model of its own or of a whole pipeline."""
    location = locate(name, key)
    if is_file(location):
        folder = str(architecture_of(key))
        return AutoencoderKL.from_single_file(
            location, config=folder, subfolder="vae", local_files_only=True, dtype=torch.float32
        )
    subfolder = {"subfolder": "vae"} if (Path(location) / "vae").is_dir() else {}
    return AutoencoderKL.from_pretrained(location, dtype=torch.float32, use_safetensors=True, **subfolder)
