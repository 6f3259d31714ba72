"""Computes Stable Diffusion 3's bytes in the cache from its configs alone. Imports no torch."""

from fashion_sweep.config.data_source import Size
from fashion_sweep.models.clip_tokenizers import CONTEXT
from fashion_sweep.models.sd3.config import SD3Config
from fashion_sweep.models.sd3.sources import SOURCES

CHANNELS, PATCH, JOINT_WIDTH = 16, 2, 4096
CLIP_WIDTHS = {"text_encoder": 768, "text_encoder_2": 1280}
"""The sizes of models whose configs are not at hand."""


def size_divisor(model: SD3Config) -> int:
    """Returns what height and width must divide by: the autoencoder's reduction times the transformer's patches."""
    return SOURCES.reduction(model.base) * SOURCES.number(model.base, "transformer", "patch_size", PATCH)


def view_bytes(model: SD3Config, size: Size) -> int:
    channels = SOURCES.number(model.base, "transformer", "in_channels", CHANNELS)
    reduction = SOURCES.reduction(model.base)
    return 2 * channels * (size.height // reduction) * (size.width // reduction)


def caption_bytes(model: SD3Config) -> int:
    widths = sum(SOURCES.number(model.base, name, "hidden_size", width) for name, width in CLIP_WIDTHS.items())
    pooled = sum(SOURCES.number(model.base, name, "projection_dim", width) for name, width in CLIP_WIDTHS.items())
    joint = SOURCES.number(model.base, "transformer", "joint_attention_dim", JOINT_WIDTH)
    return 2 * (CONTEXT * widths + pooled + (model.max_sequence_length * joint if model.t5 else 0))
