"""The score by which pictures are ranked: units, order, and what it must not depend on."""

from dataclasses import replace

import numpy as np
import pytest

from fashion_sweep.tasks.garment.closeness import Closeness, Cut, Look, closeness, look_of
from fashion_sweep.tasks.garment.judging import described


def flat(colour, size=(64, 48)) -> Cut:
    return Cut(np.full((*size, 3), colour, np.uint8), np.ones(size, bool), 1.0)


def striped(size=(64, 48), period=8) -> Cut:
    cut = flat((200, 40, 40), size)
    cut.pixels[(np.arange(size[0]) // (period // 2) % 2).astype(bool)] = (250, 240, 240)
    return cut


def look(cut):
    return look_of(cut, np.array([1.0, 0.0]))


def test_an_image_is_as_close_as_can_be_to_itself():
    found = closeness(look(striped()), look(striped()))
    assert (found.colour, found.pattern, found.clip) == (pytest.approx(0, abs=1e-9), 0, 1)
    assert found.score == pytest.approx(100)


def test_colour_is_a_distance_in_cielab():
    """Grey of L* 53.6 and of L* 63.2 are 9.6 apart."""
    found = closeness(look(flat((128, 128, 128))), look(flat((153, 153, 153))))
    assert found.colour == pytest.approx(9.6, rel=0.15)  # over 24 directions, not over all


def test_pattern_tells_stripes_from_plain_cloth_whatever_the_colour():
    stripes, plain = look(striped()), look(flat((200, 40, 40)))
    assert closeness(stripes, plain).pattern > 0.5
    assert closeness(plain, look(flat((30, 60, 200)))).pattern < 0.05


def test_the_size_of_the_picture_hardly_matters():
    small, large = look(striped((64, 48), 8)), look(striped((256, 192), 32))
    assert closeness(small, large).colour < 1
    assert closeness(small, large).pattern < closeness(small, look(flat((200, 40, 40)))).pattern / 2


def test_pixels_outside_the_region_do_not_count():
    cut = flat((10, 200, 10))
    cut.region[:, 24:] = False
    half = cut.pixels.copy()
    half[:, 24:] = (250, 0, 250)
    assert closeness(look(replace(cut, pixels=half)), look(cut)).colour == pytest.approx(0, abs=1e-9)


def test_each_part_lowers_the_score():
    best = Closeness(0, 0, 1)
    assert best.score > max(Closeness(9, 0, 1).score, Closeness(0, 0.5, 1).score, Closeness(0, 0, 0.5).score)
    assert described(look(striped()), look(striped()))["score"] == pytest.approx(100)


def test_a_look_that_was_kept_is_the_same(tmp_path):
    ours = look(striped((96, 72)))
    ours.save(tmp_path / "a.look.safetensors")
    kept = Look.load(tmp_path / "a.look.safetensors")
    assert closeness(kept, ours).score == closeness(ours, ours).score
    assert kept.patterns.keys() == ours.patterns.keys()
