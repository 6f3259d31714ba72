import numpy as np
import pytest
from PIL import Image

from fashion_sweep.data.images import load_rgb, read_size
from fashion_sweep.errors import DataError
from tests.conftest import noise_image


@pytest.mark.parametrize(("orientation", "upright"), [(1, (40, 60)), (3, (40, 60)), (6, (60, 40)), (8, (60, 40))])
def test_size_and_pixels_are_those_of_the_upright_image(tmp_path, orientation, upright):
    exif = Image.Exif()
    exif[0x0112] = orientation
    noise_image(40, 60).save(tmp_path / "a.jpg", exif=exif)
    assert read_size((tmp_path / "a.jpg").open("rb")) == upright
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
        read_size(path.open("rb"))


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
    assert read_size(path.open("rb")) == (40, 60)
