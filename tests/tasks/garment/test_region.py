"""Where the garment is, against what the renderer painted: two renderings that differ in the garment alone."""

from dataclasses import replace

import numpy as np
import pytest

from fashion_sweep.tasks.garment.region import band_of, garment_region
from fashion_sweep.tiny import pictures
from fashion_sweep.tiny.wardrobe import dress_up


def rendered(seed: int, part: str) -> tuple[np.ndarray, np.ndarray, str]:
    """A picture, where its garment truly is, and the garment's kind."""
    outfit = dress_up(np.random.default_rng(seed))
    garment = getattr(outfit, part)
    other = replace(garment, color="green" if garment.color != "green" else "red", pattern="pure color")
    first, second = (
        np.asarray(pictures._figure(np.random.default_rng(seed), pictures.PORTRAIT_FILE, one, photograph=True))
        for one in (outfit, replace(outfit, **{part: other}))
    )
    return first, np.abs(first.astype(int) - second).max(axis=2) > 25, garment.kind


def test_the_garment_of_a_person_is_found_where_it_was_painted():
    overlaps = []
    for seed in range(8):
        pixels, truth, kind = rendered(seed, "top")
        region = garment_region(pixels, kind)
        overlaps.append((region & truth).sum() / (region | truth).sum())
    assert np.mean(overlaps) > 0.5  # a band of that height over the whole width has 0.2


def test_a_garment_without_a_person_is_all_that_stands_out():
    pixels = np.full((120, 90, 3), 225, np.uint8)
    pixels[30:100, 20:70] = (40, 60, 160)
    region = garment_region(pixels, "sweater")
    assert region[40:90, 30:60].all()
    assert not region[:20].any()


def test_a_garment_in_a_colour_of_skin_that_is_laid_out_flat_is_no_person():
    pixels = np.full((120, 90, 3), 235, np.uint8)
    pixels[30:100, 15:75] = (205, 140, 115)
    region = garment_region(pixels, "skirt")
    assert region[40:90, 25:65].all()


def test_where_nothing_stands_out_the_whole_image_is_the_region():
    assert garment_region(np.full((64, 48, 3), 128, np.uint8), "dress").all()


def test_the_same_region_is_found_each_time():
    pixels, _, kind = rendered(3, "top")
    assert (garment_region(pixels, kind) == garment_region(pixels, kind)).all()


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("sweater", "upper"),
        ("T-shirt", "upper"),
        ("dress shirt", "upper"),
        ("cap-sleeve tops", "upper"),
        ("shirtdress", "whole"),
        ("long dresses", "whole"),
        ("pants", "lower"),
        ("shorts", "lower"),
        ("bootcut jeans", "lower"),
        ("capri pants", "lower"),
    ],
)
def test_the_words_for_a_kind_tell_where_it_is_worn(kind, part):
    first, last = band_of(kind)
    assert {"upper": last < 0.5, "lower": first > 0.4, "whole": first < 0.2 and last > 0.7}[part]
