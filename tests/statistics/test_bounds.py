"""Bounds: what they show, and the images and seeds that would show more."""

from dataclasses import replace

import pytest

from fashion_sweep.metrics.clip_score import CLIP_SCORE
from fashion_sweep.metrics.fid import FID
from fashion_sweep.statistics.bounds import Bound, Bounds, Levels
from fashion_sweep.statistics.comparison import Difference

LEVELS = Levels(good=0.95, worse=0.999)


def bound(value, image_se, margin, training_se=0.0, metric=FID, df=10, **changed):
    worse_by = Difference(value, image_se**2, training_se**2, df)
    one = Bound("rival", metric, 100, worse_by, margin, margin / 2, LEVELS, 0.0, 0.0)
    at_least = value - worse_by.quantile(LEVELS.worse) * worse_by.se
    return replace(one, at_least=at_least, no_more_than=one.at_most, **changed)


def with_images(one, images):
    return replace(one, worse_by=replace(one.worse_by, image_variance=one.worse_by.image_variance * 100 / images))


def test_a_sure_loser_in_one_number_is_one_whatever_the_other_number_hides():
    sure, vague = bound(1.0, 0.05, 0.5), bound(0.0, 1.2, 0.3, metric=CLIP_SCORE)
    both = Bounds((sure, vague))
    assert both.shown_worse_by is sure
    assert both.is_settled
    assert not both.is_good
    assert vague.images_to_keep() > 100
    assert both.images_to_be_good() is None  # of the sure one no number of images would do


def test_what_was_shown_once_stays_shown():
    late = replace(bound(0.4, 0.2, 0.5), no_more_than=0.45)
    assert late.slack < 0
    assert Bounds((late,)).is_good


def test_the_images_that_would_settle_it_do_so_and_hardly_fewer():
    keeps, out = bound(0.1, 0.3, 0.5), bound(0.45, 0.3, 0.5)
    assert with_images(keeps, 1.01 * keeps.images_to_keep()).slack > 0
    assert with_images(keeps, 0.99 * keeps.images_to_keep()).slack < 0
    assert out.images_to_be_out() > out.images
    assert keeps.images_to_be_out() is None
    both = Bounds((keeps, out))
    assert both.images_needed() == min(both.images_to_be_good(), out.images_to_be_out())


def test_images_cannot_buy_back_what_training_seeds_leave_open():
    one = bound(0.1, 0.3, 0.5, training_se=0.1)
    assert with_images(one, one.images_to_keep()).slack == pytest.approx(0, abs=0.01)
    assert bound(0.1, 0.3, 0.5, training_se=0.3).images_to_keep() is None
    assert bound(0.1, 0.3, 0.5).seeds_needed(1) is None  # one seed says nothing of others
    assert bound(0.1, 0.1, 0.5, training_se=0.3).seeds_needed(2) > 2


def test_with_few_seeds_the_images_that_would_do_are_those_of_the_wider_quantile():
    one = bound(0.1, 0.3, 0.5, training_se=0.1, df=2)
    assert with_images(one, one.images_to_keep()).slack > 0
    assert with_images(one, 0.98 * one.images_to_keep()).slack < 0
