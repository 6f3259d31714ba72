"""Computes Stable Diffusion 3's bytes in the cache and its operations from its configs alone. Imports no torch."""

from fashion_sweep.config.data_source import Size
from fashion_sweep.models.architecture import Operations
from fashion_sweep.models.clip_tokenizers import CONTEXT
from fashion_sweep.models.sd3.config import SD3Config
from fashion_sweep.models.sd3.sources import SOURCES

CHANNELS, PATCH, JOINT_WIDTH = 16, 2, 4096
CLIP_WIDTHS = {"text_encoder": 768, "text_encoder_2": 1280}
"""The sizes of models whose configs are not at hand."""
WIDTH, BLOCKS = 1536, 24
"""The transformer's width and number of blocks in both published models of medium size."""
DUAL_BLOCKS = 13
"""The blocks of 3.5 medium whose image stream attends to itself once more; 3 medium has none."""
ENCODER_PER_PIXEL = 4.25e6
"""The operations per pixel of an image, counted on the meta device at 512x352; the decoder takes 2.25 times as many."""
CLIP, T5 = 714e6, 4.6e9
"""The weights that each token of a caption meets in the text encoders."""


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


def typical_operations(model: SD3Config, size: Size) -> Operations | None:
    if SOURCES.number(model.base, "transformer", "num_layers", BLOCKS) != BLOCKS:
        return None
    pixels = size.height * size.width
    encode = ENCODER_PER_PIXEL * pixels
    image, text = pixels / size_divisor(model) ** 2, CONTEXT + model.max_sequence_length
    weights = 12 * WIDTH**2 * (image * BLOCKS + text * (BLOCKS - 1)) + 4 * WIDTH**2 * image * DUAL_BLOCKS
    scores = 2 * WIDTH * ((image + text) ** 2 * BLOCKS + image**2 * DUAL_BLOCKS)
    read = CONTEXT * CLIP + (model.max_sequence_length * T5 if model.t5 else 0)
    return Operations(base=2 * (weights + scores), second=0.0, text=2 * read, encode=encode, decode=2.25 * encode)
