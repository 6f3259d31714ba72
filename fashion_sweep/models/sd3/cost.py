"""Computes Stable Diffusion 3's bytes in the cache from its configs alone. Imports no torch."""

from pathlib import Path
from typing import Any

from fashion_sweep.config.data_source import Size
from fashion_sweep.models.clip_tokenizers import CONTEXT
from fashion_sweep.models.sd3.config import SD3Config
from fashion_sweep.models.sd3.sources import SOURCES
from fashion_sweep.storage.files import read_json

FACTOR, CHANNELS, PATCH, JOINT_WIDTH = 8, 16, 2, 4096
CLIP_WIDTHS = {"text_encoder": 768, "text_encoder_2": 1280}
"""The sizes of models whose configs are not at hand."""


def size_divisor(model: SD3Config) -> int:
    """Returns what height and width must divide by: the autoencoder's reduction times the transformer's patches."""
    return _factor(model) * int(_component(model, "transformer").get("patch_size", PATCH))


def view_bytes(model: SD3Config, size: Size) -> int:
    channels = int(_component(model, "transformer").get("in_channels", CHANNELS))
    return 2 * channels * (size.height // _factor(model)) * (size.width // _factor(model))


def caption_bytes(model: SD3Config) -> int:
    clip = CONTEXT * sum(int(_component(model, name).get("hidden_size", width)) for name, width in CLIP_WIDTHS.items())
    pooled = sum(int(_component(model, name).get("projection_dim", width)) for name, width in CLIP_WIDTHS.items())
    joint = int(_component(model, "transformer").get("joint_attention_dim", JOINT_WIDTH))
    return 2 * (clip + pooled + (model.max_sequence_length * joint if model.t5 else 0))


def _factor(model: SD3Config) -> int:
    blocks = _component(model, "vae").get("block_out_channels")
    return int(2 ** (len(blocks) - 1)) if blocks else FACTOR


def _component(model: SD3Config, name: str) -> dict[str, Any]:
    folder = Path(SOURCES.locate_architecture(model.base, "model.base"))
    values: dict[str, Any] = read_json(folder / name / "config.json", {})
    return values
