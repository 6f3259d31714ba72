"""What an assumed GPU and the extractors take for a row of the cache. Without torch."""

from fashion_sweep.config.data_source import Size
from fashion_sweep.planning.assumed_gpu import BFLOAT16_TFLOPS, FLOAT32_SHARE, TF32_SHARE

BFLOAT16_FLOPS = 1e12 * BFLOAT16_TFLOPS
TF32_FLOPS, FLOAT32_FLOPS = TF32_SHARE * BFLOAT16_FLOPS, FLOAT32_SHARE * BFLOAT16_FLOPS
"""A second."""
FILE_S = 0.015
"""To decode, resize and crop a photograph of 750x1101: 14 ms on a core of a Xeon."""
INCEPTION_FLOPS = 11.4e9


def pixels(size: Size) -> int:
    """How many an image of that size has."""
    return size.height * size.width


def text_of(size: Size) -> str:
    """The size as keys of rates have it."""
    return f"{size.height}x{size.width}/{size.shorter_side}"
