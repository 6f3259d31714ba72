import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from fashion_sweep.data.images import READER, UNDECODABLE, OtherPixels, load_rgb, read_header, read_rgb
from fashion_sweep.errors import DataError
from tests.conftest import noise_image


@pytest.mark.parametrize(("orientation", "upright"), [(1, (40, 60)), (3, (40, 60)), (6, (60, 40)), (8, (60, 40))])
def test_size_and_pixels_are_those_of_the_upright_image(tmp_path, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    noise_image(40, 60).save(tmp_path / "a.jpg", exif=exif)
    assert read_header((tmp_path / "a.jpg").open("rb"))[:2] == upright
    assert load_rgb(tmp_path / "a.jpg").size == upright


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "1", "RGBA", "LA", "I;16"])
def test_every_colour_mode_becomes_rgb(tmp_path, mode):
    picture = noise_image(40, 60)
    suffix = "jpg" if mode in {"L", "CMYK"} else "png"
    if mode == "I;16":
        picture = Image.fromarray(np.array(picture.convert("L"), dtype=np.uint16) * 257)
    else:
        picture = picture.convert(mode)
    picture.save(tmp_path / f"a.{suffix}")
    loaded = load_rgb(tmp_path / f"a.{suffix}")
    assert (loaded.mode, loaded.size) == ("RGB", (40, 60))
    if mode not in {"1", "P"}:
        grey = np.array(noise_image(40, 60).convert("L"), dtype=float)
        assert np.abs(np.array(loaded.convert("L"), dtype=float) - grey).mean() < 6


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_transparency_is_laid_on_white(tmp_path, suffix):
    picture = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    picture.save(tmp_path / f"a.{suffix}")
    assert np.array(load_rgb(tmp_path / f"a.{suffix}")).min() == 255


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_truncated_file_is_found_without_training_on_it(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    noise_image(200, 300).save(path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises((OSError, SyntaxError)):
        read_header(path.open("rb"))


def test_an_image_broken_in_its_middle_is_named_when_it_is_read(tmp_path):
    path = tmp_path / "a.png"
    noise_image(200, 300).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + bytes(50) + whole[len(whole) // 2 + 50 :])
    with pytest.raises(DataError, match=r"a\.png: cannot be decoded"):
        load_rgb(path)


def test_bytes_behind_a_whole_jpeg_do_no_harm(tmp_path):
    path = tmp_path / "a.jpg"
    noise_image(40, 60).save(path)
    path.write_bytes(path.read_bytes() + b"a phone's trailer")
    assert read_header(path.open("rb"))[:2] == (40, 60)


def stored(picture: Image.Image, kind: str, **options) -> io.BytesIO:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file


def exif(*entries: tuple[int, int, int, bytes]) -> bytes:
    """Of (tag, type, count, value) in ascending order, as a camera writes it, whatever types the standard has."""
    values, start, directory = b"", 8 + 2 + 12 * len(entries) + 4, b""
    for tag, kind, count, value in entries:
        held = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", start + len(values))
        values += value if len(value) > 4 else b""
        directory += struct.pack("<HHI", tag, kind, count) + held
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + directory + bytes(4) + values


EXIF_TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes of each."""


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("tag", [0x010E, 0x011A, 0x0128, 0x8769, 0x8825], ids=hex)
def test_a_picture_is_turned_whatever_types_its_other_exif_tags_have(kind, tag):
    turned = (0x0112, 3, 1, struct.pack("<H", 6))
    for (number, size), count in itertools.product(EXIF_TYPES.items(), (1, 3)):
        entries = sorted([turned, (tag, number, count, b"6" * size * count)])
        file = stored(noise_image(40, 60), kind, exif=exif(*entries))
        assert read_header(file) == (60, 40, 0)
        assert read_rgb(file).size == (60, 40)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_orientation_of_any_type_means_the_same_to_a_check_and_to_encoding(kind):
    for (number, size), count in itertools.product(EXIF_TYPES.items(), (0, 1, 3)):
        for value in (b"6" * size * count, b"\6" * size * count, bytes(size * count)):
            file = stored(noise_image(40, 60), kind, exif=exif((0x0112, number, count, value)))
            assert read_rgb(file).size == read_header(file)[:2]


MODES = ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F"]


@pytest.mark.parametrize("mode", [*MODES, "I;16", "I;16B", "I;16L"])
def test_what_a_check_takes_of_any_mode_becomes_eight_bits_of_rgb(mode):
    picture = noise_image(40, 60)
    if mode.startswith("I;16"):
        picture = Image.frombytes(mode, (40, 60), np.arange(2400, dtype=np.uint16).tobytes())
    else:
        picture = picture.convert({"La": "LA", "RGBa": "RGBA"}.get(mode, mode)).convert(mode)
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"):
        try:
            file = stored(picture, kind)
        except (OSError, ValueError, KeyError):  # there is none of that mode
            continue
        try:
            header = read_header(file)
        except UNDECODABLE:
            with pytest.raises(UNDECODABLE):
                read_rgb(file)
            continue
        pixels = np.asarray(read_rgb(file))
        assert (pixels.shape, pixels.dtype) == ((header.height, header.width, 3), np.uint8)


@pytest.mark.parametrize(("mode", "order"), [("I;16", "<u2"), ("I;16B", ">u2")])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_sixteen_bits_of_grey_are_scaled_in_either_byte_order(mode, order, compression):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    picture = Image.frombytes(mode, (16, 16), (grey.astype(order) * 257).tobytes())
    file = stored(picture, "TIFF", compression=compression)
    assert read_header(file) == (16, 16, 0)
    assert np.array_equal(np.asarray(read_rgb(file))[..., 1], grey)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_that_nothing_says_how_to_scale_are_left_out_by_name(mode):
    with pytest.raises(OtherPixels, match=f"pixels of mode {mode}, of which nothing says how they become 8 bits"):
        read_header(stored(Image.new(mode, (8, 8)), "TIFF"))


def png(bits: int, colour: int, pixels: bytes, key: bytes) -> io.BytesIO:
    """Of 8x8 pixels with a colour key."""
    rows = len(pixels) // 8
    lines = b"".join(b"\0" + pixels[start : start + rows] for start in range(0, len(pixels), rows))
    chunks = {b"IHDR": struct.pack(">IIBBBBB", 8, 8, bits, colour, 0, 0, 0), b"tRNS": key}
    chunks |= {b"IDAT": zlib.compress(lines), b"IEND": b""}
    coded = [struct.pack(">I", len(v)) + k + v + struct.pack(">I", zlib.crc32(k + v)) for k, v in chunks.items()]
    return io.BytesIO(b"\x89PNG\r\n\x1a\n" + b"".join(coded))


@pytest.mark.parametrize(
    ("bits", "colour", "pixels", "key"),
    [
        (1, 0, b"\x0f" * 8, b"\0\0"),
        (2, 0, b"\x55\0" * 8, b"\0\1"),
        (4, 0, b"\x33\x33\0\0" * 8, b"\0\3"),
        (8, 0, b"\x14" * 32 + b"\0" * 32, b"\0\x14"),
        (16, 0, b"\1\2" * 32 + b"\0" * 64, b"\1\2"),
        (8, 2, b"\1\2\3" * 32 + b"\0" * 96, b"\0\1\0\2\0\3"),
        (16, 2, b"\1\2\3\4\5\6" * 32 + b"\0" * 192, b"\1\2\3\4\5\6"),
    ],
)
def test_a_colour_key_is_laid_on_white_as_transparency_is(bits, colour, pixels, key):
    file = png(bits, colour, pixels, key)
    assert read_header(file).reader == READER
    seen = np.asarray(read_rgb(file))
    white = (seen == 255).all(axis=-1)
    assert white.sum() == (32 if bits > 1 else 64)  # of one bit, what is no key is white itself
    assert (seen[~white] == 0).all()


XYZ = {
    "sRGB": ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)),
    "Display P3": ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841)),
    "Adobe RGB": ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)),
}
"""Of red, green and blue, as ICC profiles have them."""


def srgb_curve() -> tuple[np.ndarray, np.ndarray]:
    """Levels and their light."""
    x = np.linspace(0, 1, 1024)
    return x, np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def curve(gamma: str) -> bytes:
    if gamma != "sRGB":
        return b"curv" + struct.pack(">IIH", 0, 1, round(float(gamma) * 256))
    return b"curv" + struct.pack(">II", 0, 1024) + np.round(65535 * srgb_curve()[1]).astype(">u2").tobytes()


def fixed(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(f">{len(values)}i", *(round(65536 * value) for value in values))


def profile(space: bytes, tags: dict[bytes, bytes], connection: bytes = b"XYZ ", device: bytes = b"mntr") -> bytes:
    tags |= {b"wtpt": fixed(0.9642, 1.0, 0.8249), b"desc": b"desc" + bytes(4) + struct.pack(">I", 2) + b"x" + bytes(79)}
    table, data, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    head = struct.pack(
        ">I4s4s4s4s4s12s4s", start + len(data), b"", b"\2\x40\0\0", device, space, connection, b"", b"acsp"
    )
    white = struct.pack(">iii", *(round(65536 * value) for value in (0.9642, 1.0, 0.8249)))
    return head.ljust(68, b"\0") + white + bytes(48) + struct.pack(">I", len(tags)) + table + data


def rgb_profile(name: str, gamma: str = "2.2") -> bytes:
    columns = {f"{letter}XYZ".encode(): fixed(*xyz) for letter, xyz in zip("rgb", XYZ[name], strict=True)}
    return profile(b"RGB ", columns | {f"{letter}TRC".encode(): curve(gamma) for letter in "rgb"})


def cmyk_profile() -> bytes:
    """In which only black leaves anything on the paper, so that no other conversion looks like it."""
    lab = b"".join(bytes([0 if number % 2 else 255, 128, 128]) for number in range(16))
    ramp = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + struct.pack(">9i", *(65536 * (n % 4 == 0) for n in range(9)))
    return profile(b"CMYK", {b"A2B0": table + 4 * ramp + lab + 3 * ramp}, b"Lab ", b"prtr")


def as_viewers_show(colour: tuple[int, int, int], name: str, gamma: str) -> np.ndarray:
    """From the definitions alone."""
    stored = np.array(colour) / 255
    light = stored**2.2 if gamma == "2.2" else np.interp(stored, *srgb_curve())
    linear = np.linalg.solve(np.array(XYZ["sRGB"]).T, np.array(XYZ[name]).T @ light).clip(0, 1)
    return 255 * np.interp(linear, *reversed(srgb_curve()))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize(("name", "gamma"), [("Display P3", "sRGB"), ("Adobe RGB", "2.2")])
def test_colours_of_a_wider_space_become_those_that_viewers_show(kind, name, gamma):
    exact = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    file = stored(Image.new("RGB", (16, 16), (180, 100, 90)), kind, icc_profile=rgb_profile(name, gamma), **exact)
    assert read_header(file).reader == READER
    assert np.abs(np.asarray(read_rgb(file)) - as_viewers_show((180, 100, 90), name, gamma)).max() <= 2


def test_a_profile_holds_for_grey_for_palettes_below_transparency_and_for_inks():
    grey = profile(b"GRAY", {b"kTRC": curve("1")})
    linear = 255 * np.interp(100 / 255, *reversed(srgb_curve()))
    for mode, value in (("L", 100), ("LA", (100, 255))):
        file = stored(Image.new(mode, (4, 4), value), "PNG", icc_profile=grey)
        assert np.abs(np.asarray(read_rgb(file)) - linear).max() <= 1
    wide = rgb_profile("Adobe RGB")
    plain = read_rgb(stored(Image.new("RGB", (4, 4), (200, 80, 70)), "PNG", icc_profile=wide))
    picture = Image.new("RGBA", (4, 4), (200, 80, 70, 255))
    for same in (picture, picture.convert("P")):
        assert read_rgb(stored(same, "PNG", icc_profile=wide)).tobytes() == plain.tobytes()
    picture.putalpha(0)
    assert np.asarray(read_rgb(stored(picture, "PNG", icc_profile=wide))).min() == 255
    inks = stored(Image.new("CMYK", (8, 8), (200, 0, 0, 0)), "TIFF", icc_profile=cmyk_profile())
    assert np.asarray(read_rgb(inks)).min() > 250


@pytest.mark.parametrize(
    "icc",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        rgb_profile("sRGB", "sRGB"),
        b"no profile",
        rgb_profile("Adobe RGB")[:300],
        profile(b"GRAY", {b"kTRC": curve("2.2")}),
    ],
    ids=["sRGB", "another sRGB", "broken", "torn", "for other channels"],
)
def test_pictures_of_srgb_or_of_a_profile_that_cannot_be_used_keep_their_bytes(icc):
    file = stored(noise_image(40, 60), "PNG", icc_profile=icc)
    assert read_header(file) == (40, 60, 0)
    assert read_rgb(file).tobytes() == noise_image(40, 60).tobytes()


def test_a_converted_picture_that_is_saved_is_not_converted_again():
    once = read_rgb(stored(noise_image(40, 60), "PNG", icc_profile=rgb_profile("Adobe RGB")))
    assert read_rgb(stored(once, "PNG")).tobytes() == once.tobytes()
