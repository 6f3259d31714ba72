"""Opens Stable Diffusion 3 as diffusers' pipeline, from the hub or a folder, and its T5 apart, when it is wanted."""

from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline
from transformers import AutoTokenizer, T5EncoderModel

from fashion_sweep.config.model_config import RANDOM
from fashion_sweep.errors import ConfigError, first_line
from fashion_sweep.models.pipeline_sources import variant_of
from fashion_sweep.models.random_weights import random_part, random_pipeline
from fashion_sweep.models.sd3.config import T5, SD3Config
from fashion_sweep.models.sd3.sources import SOURCES

T5_TOKENIZER = "tokenizer_3"


def open_pipeline(config: SD3Config) -> Any:
    """Opens all but T5: the weights in `config.dtype`, the autoencoder in float32, the scheduler with the shift."""
    location = SOURCES.locate(config.base, "model.base")
    dtypes = {"default": getattr(torch, config.dtype), "vae": torch.float32}
    without: dict[str, Any] = {T5: None, T5_TOKENIZER: None}
    if config.base.startswith(RANDOM):
        pipeline = random_pipeline(StableDiffusion3Pipeline, Path(location), dtypes, **without)
    else:
        SOURCES.check_parts(config.base, "model.base", StableDiffusion3Pipeline.load_config(location))
        pipeline = StableDiffusion3Pipeline.from_pretrained(
            location,
            dtype=dtypes,
            use_safetensors=True,
            trust_remote_code=False,
            variant=variant_of(Path(location).glob("*/*.safetensors")),
            **without,
        )
    if config.shift is not None:
        pipeline.scheduler = FlowMatchEulerDiscreteScheduler.from_config(pipeline.scheduler.config, shift=config.shift)
    return pipeline


def open_t5(config: SD3Config) -> tuple[Any, Any]:
    """Opens T5, in `config.dtype`, and its tokenizer.

    Raises:
        ConfigError: it cannot be loaded.
    """
    location, dtype = Path(SOURCES.locate(config.base, "model.base")), getattr(torch, config.dtype)
    if config.base.startswith(RANDOM):
        encoder = random_part(T5, T5EncoderModel.__name__, location / T5, dtype)
        return encoder, random_part(T5_TOKENIZER, "T5Tokenizer", location / T5_TOKENIZER, dtype)
    where: dict[str, Any] = {"subfolder": T5, "variant": variant_of(Path(location).glob(f"{T5}/*.safetensors"))}
    try:
        encoder = T5EncoderModel.from_pretrained(str(location), dtype=dtype, use_safetensors=True, **where)
        return encoder, AutoTokenizer.from_pretrained(str(location), subfolder=T5_TOKENIZER, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"model.t5: the T5 of {config.base} cannot be loaded ({first_line(error)})") from error


def t5_bytes(config: SD3Config) -> int:
    """Returns the bytes of T5's weights in `config.dtype`, by its config alone."""
    location = SOURCES.locate(config.base, "model.base")
    with init_empty_weights():
        network = T5EncoderModel(T5EncoderModel.config_class.from_pretrained(str(location), subfolder=T5))
    network.tie_weights()  # its embedding is there twice
    dtype: torch.dtype = getattr(torch, config.dtype)
    return sum(parameter.numel() for parameter in network.parameters()) * dtype.itemsize
