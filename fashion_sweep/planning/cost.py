"""What models of SDXL's size need for a row of the cache, and what a row of any model takes. Without torch."""

from pathlib import Path
from typing import Any

from fashion_sweep.config.data_source import Size
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.models.sources import locate_architecture
from fashion_sweep.planning.assumed_gpu import BFLOAT16_TFLOPS, FLOAT32_SHARE, TF32_SHARE
from fashion_sweep.storage.files import read_json

TOKENS, TIME_IDS, FACTOR, CHANNELS = 77, 6, 8, 4
BFLOAT16_FLOPS = 1e12 * BFLOAT16_TFLOPS
TF32_FLOPS, FLOAT32_FLOPS = TF32_SHARE * BFLOAT16_FLOPS, FLOAT32_SHARE * BFLOAT16_FLOPS
"""A second."""
FILE_S = 0.015
"""To decode, resize and crop a photograph of 750x1101: 14 ms on a core of a Xeon."""
ENCODER_FLOPS_PER_PIXEL = 4.25e6  # of SDXL's autoencoder, counted on the meta device
CAPTION_FLOPS = 2 * TOKENS * (123e6 + 695e6)  # of SDXL's text encoders
INCEPTION_FLOPS = 11.4e9
DENOISER_FLOPS_PER_PIXEL = 6.1e6  # of SDXL's UNet, likewise
SDXL_TEXT_WIDTH = 768 + 1280


def pixels(size: Size) -> int:
    return size.height * size.width


def view_bytes(config: RunConfig, size: Size) -> int:
    channels = component(config, "unet").get("in_channels", CHANNELS)
    blocks = component(config, "vae").get("block_out_channels")
    factor = 2 ** (len(blocks) - 1) if blocks else FACTOR
    return 2 * channels * (size.height // factor) * (size.width // factor) + 4 * TIME_IDS


def text_widths(config: RunConfig) -> tuple[int, int]:
    """Of the two encoders' states side by side, and of the pooled embedding."""
    first, second = (component(config, name) for name in ("text_encoder", "text_encoder_2"))
    return first.get("hidden_size", 768) + second.get("hidden_size", 1280), second.get("projection_dim", 1280)


def component(config: RunConfig, name: str) -> dict[str, Any]:
    base = Path(locate_architecture(config.preset.model.base, "model.base"))
    values: dict[str, Any] = read_json(base / name / "config.json", {})
    return values


def text_of(size: Size) -> str:
    return f"{size.height}x{size.width}/{size.shorter_side}"
