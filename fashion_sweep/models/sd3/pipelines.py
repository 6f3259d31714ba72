"""Opens Stable Diffusion 3 as diffusers' pipeline, from the hub or a folder, and its T5 apart, when it is wanted."""

from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline
from transformers import AutoTokenizer, T5EncoderModel

from fashion_sweep.config.model_config import RANDOM
from fashion_sweep.models.pipeline_sources import variant_of
from fashion_sweep.models.random_weights import random_part, random_pipeline
from fashion_sweep.models.sd3.config import SD3Config
from fashion_sweep.models.sd3.sources import SOURCES

T5, T5_TOKENIZER = "text_encoder_3", "tokenizer_3"


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
    """Opens T5, in `config.dtype`, and its tokenizer."""
    location, dtype = Path(SOURCES.locate(config.base, "model.base")), getattr(torch, config.dtype)
    if config.base.startswith(RANDOM):
        encoder = random_part(T5, T5EncoderModel.__name__, location / T5, dtype)
        return encoder, random_part(T5_TOKENIZER, "T5Tokenizer", location / T5_TOKENIZER, dtype)
    encoder = T5EncoderModel.from_pretrained(str(location), subfolder=T5, dtype=dtype, use_safetensors=True)
    return encoder, AutoTokenizer.from_pretrained(str(location), subfolder=T5_TOKENIZER, trust_remote_code=False)
