"""Computes SDXL's bytes in the cache and its operations from its configs alone. Imports no torch."""

import json
from pathlib import Path
from typing import Any

from fashion_sweep.config.data_source import Size
from fashion_sweep.models.architecture import Operations
from fashion_sweep.models.clip_tokenizers import CONTEXT
from fashion_sweep.models.sdxl.config import SDXLConfig
from fashion_sweep.models.sdxl.sources import SOURCES
from fashion_sweep.storage.files import read_json

TIME_IDS, FACTOR, CHANNELS = 6, 8, 4
UNET_PER_PIXEL, ENCODER_PER_PIXEL = 6.1e6, 4.25e6
"""The operations per pixel of an image, counted on the meta device at 512x360; the decoder takes twice the encoder."""
CAPTION = 2 * CONTEXT * (123e6 + 695e6)
"""The operations of encoding one caption."""
TEXT_WIDTH = 768 + 1280


def size_divisor(model: SDXLConfig) -> int:
    """Returns the autoencoder's reduction of height and width; 8 for a model that is not on this disk yet."""
    folder = Path(SOURCES.locate(model.vae, "model.vae") if model.vae else SOURCES.locate(model.base, "model.base"))
    path = next((path for path in (folder / "vae" / "config.json", folder / "config.json") if path.is_file()), None)
    blocks = json.loads(path.read_text(encoding="utf-8"))["block_out_channels"] if path else range(4)
    return int(2 ** (len(blocks) - 1))


def view_bytes(model: SDXLConfig, size: Size) -> int:
    channels = _component(model, "unet").get("in_channels", CHANNELS)
    blocks = _component(model, "vae").get("block_out_channels")
    factor = 2 ** (len(blocks) - 1) if blocks else FACTOR
    return int(2 * channels * (size.height // factor) * (size.width // factor) + 4 * TIME_IDS)


def caption_bytes(model: SDXLConfig) -> int:
    return 2 * (CONTEXT * _text_width(model) + int(_component(model, "text_encoder_2").get("projection_dim", 1280)))


def typical_operations(model: SDXLConfig, size: Size) -> Operations | None:
    if _text_width(model) != TEXT_WIDTH:
        return None
    pixels = size.height * size.width
    encode = ENCODER_PER_PIXEL * pixels
    base = UNET_PER_PIXEL * pixels
    return Operations(base=base, second=base if model.refiner else 0.0, text=CAPTION, encode=encode, decode=2 * encode)


def _text_width(model: SDXLConfig) -> int:
    """Returns the width of the two encoders' states side by side."""
    first, second = (_component(model, name) for name in ("text_encoder", "text_encoder_2"))
    return int(first.get("hidden_size", 768) + second.get("hidden_size", 1280))


def _component(model: SDXLConfig, name: str) -> dict[str, Any]:
    folder = Path(SOURCES.locate_architecture(model.base, "model.base"))
    values: dict[str, Any] = read_json(folder / name / "config.json", {})
    return values
