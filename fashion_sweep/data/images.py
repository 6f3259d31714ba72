"""Opening image files as their owners made them: any orientation tag, colour mode or format Pillow reads."""

import os
import struct
import warnings
from typing import IO

from PIL import Image, ImageOps

from fashion_sweep.data.locations import Location, open_binary
from fashion_sweep.errors import DataError

EXIF_ORIENTATION = 0x0112
UNDECODABLE = (
    OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, ArithmeticError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises at a malformed file."""
JPEG_END = b"\xff\xd9"
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Whatever a file is called: others may run programs (EPS) or are never meant."""
MOST_ELONGATED = 100
"""Long side to short: of more, a few bytes become gigabytes when the short side is brought to the model's size."""

warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # an error comes at twice that size


def read_size(file: IO[bytes]) -> tuple[int, int]:
    """(width, height) in pixels as the image is to be seen, from the header.

    Raises:
        UNDECODABLE: the file is no image, or is truncated.
    """
    with Image.open(file, formats=FORMATS) as image:
        if max(image.size) > MOST_ELONGATED * min(image.size):
            raise OSError(f"{image.width}x{image.height} pixels are no photograph")
        if image.format != "JPEG" or not _ends_as_a_jpeg(file):
            image.load()  # only a full decode tells whether the file is whole
        width, height = image.size
        turned = image.getexif().get(EXIF_ORIENTATION, 1) >= 5
    return (height, width) if turned else (width, height)


def load_rgb(path: Location) -> Image.Image:
    """The upright image in RGB; transparency is laid on white.

    Raises:
        DataError: the file cannot be decoded, though its header and its end are those of an image.
    """
    try:
        with open_binary(path) as file, Image.open(file, formats=FORMATS) as opened:
            return _to_rgb(ImageOps.exif_transpose(opened))
    except UNDECODABLE as error:
        raise DataError(f"{os.fspath(path)}: cannot be decoded ({error}); remove it and run again") from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode in {"RGBA", "LA", "PA"}:
        image = image.convert("RGBA")
        canvas = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(canvas, image)
    if image.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips it at 255
        image = image.point(lambda value: value / 257).convert("L") if "16" in image.mode else image
    return image.convert("RGB")


def _ends_as_a_jpeg(file: IO[bytes]) -> bool:
    """Leaves the file where it was: Pillow goes on reading there."""
    place = file.tell()
    file.seek(-2, os.SEEK_END)
    end = file.read(2)
    file.seek(place)
    return end == JPEG_END
