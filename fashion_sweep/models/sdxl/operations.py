"""Counts the floating-point operations of SDXL's parts by torch on the meta device, from configs alone."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from fashion_sweep.config.data_source import Size
from fashion_sweep.models.architecture import Operations
from fashion_sweep.models.clip_tokenizers import CONTEXT
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
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        vae = AutoencoderKL.from_config(AutoencoderKL.load_config(base, subfolder="vae"))
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    latents = torch.empty(1, vae.config.latent_channels, height // factor, width // factor, device="meta")
    image = torch.empty(1, 3, height, width, device="meta")
    return Operations(
        base=_unet(base, latents),
        second=_unet(refiner, latents) if refiner else 0.0,
        text=sum(_text(base, name) for name in ("text_encoder", "text_encoder_2")),
        encode=_count(lambda: vae.encode(image)),
        decode=_count(lambda: vae.decode(latents)),
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
    return _count(lambda: unet(latents, step, encoder_hidden_states=text, added_cond_kwargs=added))


def _pooled_width(folder: Path) -> int:
    from transformers import CLIPTextConfig

    return int(CLIPTextConfig.from_pretrained(folder, subfolder="text_encoder_2").projection_dim)


def _text(folder: Path, name: str) -> float:
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        encoder = CLIPTextModel(CLIPTextConfig.from_pretrained(folder, subfolder=name))
    # Each token meets every weight of the linear layers once; attention among so few tokens is less than 2 % of that.
    weights = sum(layer.weight.numel() for layer in encoder.modules() if isinstance(layer, nn.Linear))
    return 2.0 * CONTEXT * weights


@torch.no_grad()
def _count(call: Callable[[], Any]) -> float:
    counter = FlopCounterMode(display=False)
    with counter:
        call()
    return float(counter.get_total_flops())
