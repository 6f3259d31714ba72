"""Counts the floating-point operations of networks by torch on the meta device, from configs alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fashion_sweep.models.clip_tokenizers import CONTEXT


@torch.no_grad()
def count(call: Callable[[], Any]) -> float:
    """Returns the operations of a call; a multiplication and its addition count as two."""
    counter = FlopCounterMode(display=False)
    with counter:
        call()
    return float(counter.get_total_flops())


def count_autoencoder(folder: Path, height: int, width: int) -> tuple[float, float, Tensor]:
    """Returns the operations of encoding and decoding an image, and latents of its shape 1,c,h,w on the meta device."""
    from diffusers import AutoencoderKL

    with torch.device("meta"):
        vae = AutoencoderKL.from_config(AutoencoderKL.load_config(folder, subfolder="vae"))
    factor = 2 ** (len(vae.config.block_out_channels) - 1)
    latents = torch.empty(1, vae.config.latent_channels, height // factor, width // factor, device="meta")
    image = torch.empty(1, 3, height, width, device="meta")
    return count(lambda: vae.encode(image)), count(lambda: vae.decode(latents)), latents


def count_clip(folder: Path, name: str) -> float:
    """Returns the operations by which a CLIP's text encoder encodes a caption."""
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.device("meta"):
        return count_text(CLIPTextModel(CLIPTextConfig.from_pretrained(folder, subfolder=name)), CONTEXT)


def count_text(encoder: nn.Module, length: int) -> float:
    """Returns the operations by which a text encoder encodes a text of so many tokens.

    Each token meets every weight of the linear layers once; attention among so few tokens is less than 2 % of that.
    """
    weights = sum(layer.weight.numel() for layer in encoder.modules() if isinstance(layer, nn.Linear))
    return 2.0 * length * weights
