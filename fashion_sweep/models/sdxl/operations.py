"""Counts the floating-point operations of SDXL's parts from configs alone."""

from functools import cache
from pathlib import Path
from typing import Any

import torch

from fashion_sweep.config.data_source import Size
from fashion_sweep.models.architecture import Operations
from fashion_sweep.models.clip_tokenizers import CONTEXT
from fashion_sweep.models.counted import count, count_autoencoder, count_clip
from fashion_sweep.models.sdxl.config import SDXLConfig
from fashion_sweep.models.sdxl.sources import SOURCES


def count_operations(model: SDXLConfig, size: Size) -> Operations | None:
    """Counts the operations; None where the configs are not at hand, as of a hub id that this package does not know."""
    base = Path(SOURCES.locate_architecture(model.base, "model.base"))
    if not (base / "vae").is_dir():
        return None
    refiner = Path(SOURCES.locate_architecture(model.refiner, "model.refiner")) if model.refiner else None
    if refiner is not None and not refiner.is_dir():
        return None
    return _counted(base, refiner, size.height, size.width)


@cache
def _counted(base: Path, refiner: Path | None, height: int, width: int) -> Operations:
    encode, decode, latents = count_autoencoder(base, height, width)
    return Operations(
        base=_unet(base, latents),
        second=_unet(refiner, latents) if refiner else 0.0,
        text=sum(count_clip(base, name) for name in ("text_encoder", "text_encoder_2")),
        encode=encode,
        decode=decode,
    )


def _unet(folder: Path, latents: torch.Tensor) -> float:
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet: Any = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder, subfolder="unet"))
        config = unet.config
        width = config.addition_time_embed_dim
        pooled = _pooled_width(folder)
        numbers = (config.projection_class_embeddings_input_dim - pooled) // width
        added = {"text_embeds": torch.empty(1, pooled), "time_ids": torch.empty(1, numbers)}
        text = torch.empty(1, CONTEXT, config.cross_attention_dim)
        step = torch.empty(1)
    return count(lambda: unet(latents, step, encoder_hidden_states=text, added_cond_kwargs=added))


def _pooled_width(folder: Path) -> int:
    from transformers import CLIPTextConfig

    return int(CLIPTextConfig.from_pretrained(folder, subfolder="text_encoder_2").projection_dim)
