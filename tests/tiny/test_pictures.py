"""Pictures are functions of (seed, domain, index), and show what their captions say."""

import numpy as np
import pytest

from fashion_sweep.tiny.materials import COLORS
from fashion_sweep.tiny.pictures import RenderedPicture, fashion_picture, general_picture

CHEST = (0.33, 0.40)
"""Where a top is, in heights of a portrait picture."""


def figures(count: int) -> list[RenderedPicture]:
    """Photographs whose top is plain cotton."""
    pictures = [fashion_picture(3, index) for index in range(6 * count)]
    plain = [
        p for p in pictures if p.outfit and (p.outfit.top.fabric, p.outfit.top.pattern) == ("cotton", "pure color")
    ]
    return plain[:count]


@pytest.mark.parametrize("draw", [fashion_picture, general_picture])
def test_a_picture_is_a_function_of_seed_and_index(draw):
    again = [draw(7, index) for index in (2, 1, 0)][::-1]
    for index in range(3):
        assert draw(7, index).image.tobytes() == again[index].image.tobytes()
        assert draw(7, index).captions == again[index].captions
    assert draw(8, 0).image.tobytes() != again[0].image.tobytes()


def test_the_colour_of_the_caption_is_the_colour_of_the_garment():
    right = 0
    for picture in figures(20):
        assert picture.outfit is not None
        assert f"{picture.outfit.top.color} {picture.outfit.top.kind}" in picture.captions[0]
        right += nearest_color(chest(picture)) == picture.outfit.top.color
    assert right >= 14  # light and shade turn a few into a neighbour


def chest(picture: RenderedPicture) -> np.ndarray:
    """Median colour of the middle of the chest, beside the line of buttons; RGB in [0, 1]."""
    pixels = np.asarray(picture.image, dtype=float) / 255
    height, width = pixels.shape[:2]
    rows, middle = slice(int(CHEST[0] * height), int(CHEST[1] * height)), width // 2
    return np.median(pixels[rows, middle - 8 : middle + 9].reshape(-1, 3), axis=0)


def nearest_color(rgb: np.ndarray) -> str:
    """By direction first, since light changes brightness."""

    def distance(name: str) -> float:
        color = np.array(COLORS[name])
        tints = rgb / rgb.sum(), color / color.sum()
        return float(np.abs(tints[0] - tints[1]).sum() + 0.5 * abs(rgb.mean() - color.mean()))

    return min(COLORS, key=distance)


def test_captions_name_every_attribute_of_the_top():
    for index in range(40):
        picture = fashion_picture(5, index)
        assert picture.outfit is not None
        top, caption = picture.outfit.top, picture.captions[0].lower()
        sleeves = {"no": ("no sleeves", "cut off", "sleeveless")}.get(top.sleeves, (top.sleeves,))
        assert any(word in caption for word in sleeves), caption
        for word in (top.kind.lower(), top.color, top.fabric, top.neckline):
            assert word in caption, caption
        assert (top.pattern in caption) or (top.pattern == "pure color" and "solid color" in caption)


def test_drawings_are_flat_and_photographs_are_not():
    def distinct_colors(picture: RenderedPicture) -> int:
        return len({tuple(pixel) for pixel in np.asarray(picture.image).reshape(-1, 3)})

    drawings = [p for p in (general_picture(0, i) for i in range(40)) if p.outfit]
    photographs = [fashion_picture(0, i) for i in range(10)]
    assert max(map(distinct_colors, drawings)) < min(map(distinct_colors, photographs))


def test_style_words_are_said_of_the_right_pictures():
    for index in range(60):
        picture = general_picture(1, index)
        words = " ".join(picture.captions).lower()
        drawn = any(word in words for word in ("cartoon", "drawing", "illustration", "painting"))
        assert drawn == (picture.outfit is not None)
        assert ("photo" in words or "render" in words or "cgi" in words) == (picture.outfit is None)


def test_five_captions_of_a_figure_hold_two_in_full():
    picture = next(p for p in (general_picture(2, i) for i in range(20)) if p.outfit)
    assert len(picture.captions) == 5
    assert sum("fabric" in caption for caption in picture.captions) >= 2
