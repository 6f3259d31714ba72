"""What a file costs to read, and how sizes are told. Without torch."""

from fashion_sweep.config.data_source import Size

FILE_S = 0.015
"""To decode, resize and crop a photograph of 750x1101: 14 ms on a core of a Xeon."""


def text_of(size: Size) -> str:
    """The size as keys of rates have it."""
    return f"{size.height}x{size.width}/{size.shorter_side}"
