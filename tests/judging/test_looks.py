"""When a race looks, and what it is likely to save."""

import pytest

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.errors import ConfigError
from fashion_sweep.judging.looks import at_first_look, entrants, looks_of, race_shares, rules_of
from fashion_sweep.report.race_words import race_sentences


def looks(*settings, sweep="exp2", preset="tiny"):
    return looks_of(load_run_config(sweep, preset, settings), "fashion")


def test_looks_double_from_what_the_metrics_need_up_to_all_images():
    assert looks() == (256, 512, 1024, 2048)
    assert looks("sweep.judge={fashion: [clip_score]}") == (256, 512, 1024, 2048)
    assert looks(preset="sdxl") == (10_000, 20_000, 40_000)
    assert looks("sweep.judge={fashion: [clip_score]}", "sweep.show=[kid]", preset="sdxl")[0] == 2504
    assert looks("evaluation.samples=300") == (300,)


def test_looks_of_the_sweep_end_with_a_batch():
    assert looks("sweep.choose.looks=[300, 1000]") == (320, 1024, 2048)
    assert looks("sweep.choose.looks=[300, 1000]", "evaluation.samples=900") == (320, 900)


def test_without_a_race_or_without_a_rival_all_images_are_judged_at_once():
    assert looks("sweep.choose.race=false") == looks("sweep.trials=[{unet: 1}]") == (2048,)


def test_looks_that_do_not_grow_are_refused():
    with pytest.raises(ConfigError, match="each look has more images than the one before"):
        looks("sweep.choose.looks=[500, 400]")


def test_a_search_counts_the_trials_that_it_will_have_and_seeds_are_no_entrants():
    assert entrants(load_run_config("search", "tiny")) == 12
    assert rules_of(load_run_config("exp2", "tiny", ["sweep.seeds=3"]), "fashion").entrants == 5


def test_what_a_race_saves_is_no_more_than_its_first_look_leaves():
    low, high = race_shares(load_run_config("exp2", "sdxl"))
    assert (low, high) == (0.25, 0.55)
    assert race_shares(load_run_config("exp2", "sdxl", ["sweep.choose.race=false"])) is None


def said(*settings):
    return " ".join(race_sentences(load_run_config("exp2", "tiny", settings)))


def test_beforehand_it_is_said_how_many_images_there_are_with_a_race_and_without():
    assert said("sweep.choose.race=false") == "Judging: 5 × 2,048 on fashion = 10,240 images."
    assert "after 256, 512, 1,024, 2,048 on fashion" in said()
    assert "at most 5,000 images of a data set or 2 hours of lanes" in said(
        "sweep.choose.budget={images: 5000, hours: 2}"
    )
    assert said("sweep.judge=[]") == ""


def test_a_budget_without_a_race_is_refused():
    with pytest.raises(ConfigError, match="with race: false all images are judged"):
        said("sweep.choose.race=false", "sweep.choose.budget.images=5000")


def test_the_first_look_has_as_many_images_of_each_trial():
    judged = {"fid": 9.0, "looks": {"1024": {"fid": 3.0}, "256": {"fid": 4.0}}}
    assert at_first_look(judged) == {"fid": 4.0}
    assert at_first_look({"fid": 9.0}) == {}
