"""Computes SDXL's bytes in the cache and its operations from its configs alone. Imports no torch."""

import json
from pathlib import Path

from fashion_sweep.config.data_source import Size
from fashion_sweep.models.architecture import Operations
from fashion_sweep.models.clip_tokenizers import CONTEXT
from fashion_sweep.models.sdxl.config import SDXLConfig
from fashion_sweep.models.sdxl.sources import SOURCES

TIME_IDS, CHANNELS = 6, 4
UNET_PER_PIXEL, ENCODER_PER_PIXEL = 6.1e6, 4.25e6
"""The operations per pixel of an image, counted on the meta device at 512x360; the decoder takes twice the encoder."""
CAPTION = 2 * CONTEXT * (123e6 + 695e6)
"""The operations of encoding one caption."""
TEXT_WIDTHS, POOLED = {"text_encoder": 768, "text_encoder_2": 1280}, 1280


def size_divisor(model: SDXLConfig) -> int:
    """Returns the autoencoder's reduction of height and width; 8 for a model that is not on this disk yet."""
    folder = Path(SOURCES.locate(model.vae, "model.vae") if model.vae else SOURCES.locate(model.base, "model.base"))
    path = next((path for path in (folder / "vae" / "config.json", folder / "config.json") if path.is_file()), None)
    blocks = json.loads(path.read_text(encoding="utf-8"))["block_out_channels"] if path else range(4)
    return int(2 ** (len(blocks) - 1))


def view_bytes(model: SDXLConfig, size: Size) -> int:
    channels = SOURCES.number(model.base, "unet", "in_channels", CHANNELS)
    reduction = SOURCES.reduction(model.base)
    return 2 * channels * (size.height // reduction) * (size.width // reduction) + 4 * TIME_IDS


def caption_bytes(model: SDXLConfig) -> int:
    return 2 * (CONTEXT * _text_width(model) + SOURCES.number(model.base, "text_encoder_2", "projection_dim", POOLED))


def typical_operations(model: SDXLConfig, size: Size) -> Operations | None:
    if _text_width(model) != sum(TEXT_WIDTHS.values()):
        return None
    pixels = size.height * size.width
    encode = ENCODER_PER_PIXEL * pixels
    base = UNET_PER_PIXEL * pixels
    return Operations(base=base, second=base if model.refiner else 0.0, text=CAPTION, encode=encode, decode=2 * encode)


def _text_width(model: SDXLConfig) -> int:
    """Returns the width of the two encoders' states side by side."""
    return sum(SOURCES.number(model.base, name, "hidden_size", width) for name, width in TEXT_WIDTHS.items())
