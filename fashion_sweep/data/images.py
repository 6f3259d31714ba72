"""Opens image files as their owners made them: any orientation tag, colour mode, profile or format Pillow reads.

Checks and encoding read here alone, so that what a check takes can be encoded. Pixels become 8 bits of sRGB.
"""

import os
import struct
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from typing import IO, NamedTuple

import numpy as np
from PIL import Image, ImageCms

from fashion_sweep.data.locations import Location, open_binary
from fashion_sweep.errors import DataError

EXIF_ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The turn for each EXIF orientation; from 5 on width and height change places."""
TIFF_BITS, TIFF_PHOTOMETRIC = 258, 262
UNDECODABLE = (
    OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, ArithmeticError, AttributeError, struct.error,
    Image.DecompressionBombError,
)  # fmt: skip
"""The errors that Pillow raises at a malformed file."""
JPEG_END = b"\xff\xd9"
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""The formats that are read, whatever a file is called: others may run programs (EPS) or are never meant."""
MOST_ELONGATED = 100
"""The largest ratio of long side to short that is read.
Of more, a few bytes become gigabytes when the short side is brought to the model's size."""
COLOURS = {
    **dict.fromkeys(("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N"), "L"),
    **dict.fromkeys(("P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr", "LAB"), "RGB"),
    "CMYK": "CMYK",
}
"""Modes that have 8 bits a channel or are brought to them, and what is left of each without palette and transparency.
Of others, numbers of 32 bits, nobody knows which one is white."""
ALPHA = {"LA": "LA", "La": "LA", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"}
SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
"""The names that ICC profiles have for the modes."""
SAME_LEVELS = 2
"""The levels, of 255, up to which a profile may move colours and still count as sRGB, which keeps its bytes."""
READER = 1
"""The version of reading, counted up when pictures that take more than decoding come out with other pixels."""

warnings.filterwarnings("ignore", module=r"PIL\.")  # of a large or odd file: what matters of it comes as an error


class OtherPixels(OSError):
    """Pixels that nothing says how to bring to 8 bits."""


class Header(NamedTuple):
    """The header of a picture, as a check knows it; the size is in pixels, upright."""

    width: int
    height: int
    reader: int = 0
    """The version `READER` where pixels are not as stored (profile, colour key), so that caches know; else 0."""


def read_header(file: IO[bytes]) -> Header:
    """Reads the header of a picture that `read_rgb` takes; only what may be torn is decoded for it.

    Raises:
        OtherPixels: its mode is one that cannot be scaled.
        UNDECODABLE: the file is no image, or is truncated.
    """
    with _opened(file) as image:
        reader = READER if _is_more_than_decoded(image) else 0
        if image.format != "JPEG" or not _ends_as_a_jpeg(file):
            image.load()  # only a full decode tells whether the file is whole
        width, height = image.size
        return Header(height, width, reader) if _orientation(image) >= 5 else Header(width, height, reader)


def read_rgb(file: IO[bytes]) -> Image.Image:
    """Reads the upright picture in sRGB, 8 bits a channel; transparency is laid on white.

    Raises:
        UNDECODABLE: as `read_header`, or what follows the header cannot be decoded.
    """
    with _opened(file) as image:
        stored = _stored_as(image)
        image.load()
        rgb = _to_rgb(image, stored)
        turn = TURNS.get(_orientation(image))
        upright = rgb if turn is None else rgb.transpose(turn)
    upright.info = {}  # it would be saved with them, and converted twice
    return upright


def load_rgb(path: Location) -> Image.Image:
    """Reads the picture of a file or URL as `read_rgb` does.

    Raises:
        DataError: the file cannot be decoded, though its header and its end are those of an image.
    """
    try:
        with open_binary(path) as file:
            return read_rgb(file)
    except UNDECODABLE as error:
        raise DataError(f"{os.fspath(path)}: cannot be decoded ({error}); remove it and run again") from error


@contextmanager
def _opened(file: IO[bytes]) -> Iterator[Image.Image]:
    with Image.open(file, formats=FORMATS) as image:
        if max(image.size) > MOST_ELONGATED * min(image.size):
            raise OSError(f"{image.width}x{image.height} pixels are no photograph")
        if image.mode not in COLOURS:
            raise OtherPixels(f"pixels of mode {image.mode}, of which nothing says how they become 8 bits")
        yield image


def _orientation(image: Image.Image) -> int:
    """Returns the EXIF orientation, 1 to 8; 1, as it is stored, where EXIF tells nothing that can be read.
    Other tags are not looked at: many cameras write some in a type that the standard does not have for them."""
    try:
        tag = image.getexif().get(EXIF_ORIENTATION)
        return next((number for number in TURNS if number == tag), 1)
    except UNDECODABLE:
        return 1


def _is_more_than_decoded(image: Image.Image) -> bool:
    stored = _stored_as(image)
    return stored.key is not None or stored.levels not in {None, (0, 65535)} or _srgb_transform(image) is not None


class _Stored(NamedTuple):
    """The values of a picture that are known only before its pixels are decoded."""

    key: np.ndarray | None
    """The colour that is transparent, in the decoded pixels' levels."""
    levels: tuple[int, int] | None
    """The levels of black and white in pixels of 16 bits."""


def _stored_as(image: Image.Image) -> _Stored:
    key, raw = image.info.get("transparency"), str(image.tile[0][3]) if image.tile else ""  # type: ignore[attr-defined]
    if key is not None and image.mode in {"1", "L", "RGB", "I;16"}:  # of a palette, Pillow itself knows it
        if raw == "RGB;16B":
            key = [level >> 8 for level in key]  # as it decodes the pixels
        scale = {"L;2": 85, "L;4": 17}.get(raw, 1)
        key = np.array([255 if key else 0]) if image.mode == "1" else np.array(key) * scale
    else:
        key = None
    levels = None
    if image.mode.startswith("I;16"):
        tags: Mapping[int, object] = getattr(image, "tag_v2", {})
        white = 4095 if tags.get(TIFF_BITS) == (12,) else 65535
        levels = (white, 0) if tags.get(TIFF_PHOTOMETRIC) == 0 else (0, white)
    return _Stored(key, levels)


def _to_rgb(image: Image.Image, stored: _Stored) -> Image.Image:
    transform, clear = _srgb_transform(image), _where(image, stored.key)
    if stored.levels:
        image = _scaled(image, *stored.levels)
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    alpha = None
    if image.mode in ALPHA:
        image = image.convert(ALPHA[image.mode])
        alpha = image.getchannel("A")
        image = image.convert(COLOURS[image.mode])
    rgb = transform.apply(image.convert(transform.input_mode)) if transform else image.convert("RGB")
    if alpha:
        rgb.putalpha(alpha)
        rgb = Image.alpha_composite(Image.new("RGBA", rgb.size, "white"), rgb).convert("RGB")
    if clear:
        rgb.paste("white", mask=clear)
    return rgb


def _where(image: Image.Image, key: np.ndarray | None) -> Image.Image | None:
    """Returns a mask of the pixels that have the colour `key`."""
    if key is None:
        return None
    pixels = np.asarray(image.convert("L") if image.mode == "1" else image)
    return Image.fromarray((pixels.reshape(*pixels.shape[:2], -1) == key).all(axis=-1))


def _scaled(image: Image.Image, black: int, white: int) -> Image.Image:
    """Scales 16 bits of grey to 8: Pillow's own conversion clips them at 255."""
    values = np.asarray(image).astype(np.int64)
    return Image.fromarray((255 * (values - black) // (white - black)).clip(0, 255).astype(np.uint8))


def _srgb_transform(image: Image.Image) -> ImageCms.ImageCmsTransform | None:
    profile = image.info.get("icc_profile")
    return _transform_of(profile, COLOURS[image.mode]) if isinstance(profile, bytes) and profile else None


@lru_cache(maxsize=32)
def _transform_of(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Returns the transform from an ICC profile to sRGB; None for sRGB itself, and for a broken or unfit profile.
    A profile is unfit where it is for other channels than these."""
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        if source.profile.xcolor_space.strip() != SPACES[mode]:
            return None
        transform = ImageCms.ImageCmsTransform(
            source,
            ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        tried = _every_colour(mode)
        moved = np.asarray(transform.apply(tried)).astype(int) - np.asarray(tried.convert("RGB"))
    except UNDECODABLE:
        return None
    return transform if np.abs(moved).max() > SAME_LEVELS else None


def _every_colour(mode: str) -> Image.Image:
    """Returns a picture with a grid of all colours."""
    bands = Image.getmodebands(mode)
    levels = np.linspace(0, 255, {1: 256, 3: 18, 4: 6}[bands]).astype(np.uint8)
    grid = np.stack(np.meshgrid(*[levels] * bands), axis=-1)
    return Image.frombytes(mode, (grid.size // bands, 1), grid.tobytes())


def _ends_as_a_jpeg(file: IO[bytes]) -> bool:
    """Returns whether a file ends as a JPEG; leaves it where it was: Pillow goes on reading there."""
    place = file.tell()
    file.seek(-2, os.SEEK_END)
    end = file.read(2)
    file.seek(place)
    return end == JPEG_END
