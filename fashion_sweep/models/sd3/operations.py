"""Counts the floating-point operations of Stable Diffusion 3's parts from configs alone."""

from functools import cache
from pathlib import Path
from typing import Any

import torch

from fashion_sweep.config.data_source import Size
from fashion_sweep.models.architecture import Operations
from fashion_sweep.models.clip_tokenizers import CONTEXT
from fashion_sweep.models.counted import count, count_autoencoder, count_clip, count_text
from fashion_sweep.models.sd3.config import SD3Config
from fashion_sweep.models.sd3.sources import SOURCES


def count_operations(model: SD3Config, size: Size) -> Operations | None:
    """Counts the operations; None where the configs are not at hand, as of a hub id that this package does not know."""
    base = Path(SOURCES.locate_architecture(model.base, "model.base"))
    if not (base / "vae").is_dir():
        return None
    return _counted(base, model.max_sequence_length, model.t5, size.height, size.width)


@cache
def _counted(base: Path, t5_length: int, t5: bool, height: int, width: int) -> Operations:
    encode, decode, latents = count_autoencoder(base, height, width)
    text = sum(count_clip(base, name) for name in ("text_encoder", "text_encoder_2"))
    return Operations(
        base=_transformer(base, latents, CONTEXT + t5_length),
        second=0.0,
        text=text + (_t5(base, t5_length) if t5 else 0.0),
        encode=encode,
        decode=decode,
    )


def _transformer(folder: Path, latents: torch.Tensor, text_length: int) -> float:
    from diffusers import SD3Transformer2DModel

    with torch.device("meta"):
        config = SD3Transformer2DModel.load_config(folder, subfolder="transformer")
        transformer: Any = SD3Transformer2DModel.from_config(config)
        text = torch.empty(1, text_length, transformer.config.joint_attention_dim)
        pooled, step = torch.empty(1, transformer.config.pooled_projection_dim), torch.empty(1)
    return count(lambda: transformer(latents, text, pooled, step))


def _t5(folder: Path, length: int) -> float:
    from transformers import T5Config, T5EncoderModel

    with torch.device("meta"):
        return count_text(T5EncoderModel(T5Config.from_pretrained(folder, subfolder="text_encoder_3")), length)
