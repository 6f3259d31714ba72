"""The answer of a run that has numbers but no images to compare, and what it says of gaps."""

from pathlib import Path

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.report.forgotten import forgotten
from fashion_sweep.report.results import collect
from fashion_sweep.report.run_answer import answer_of
from fashion_sweep.run.specs import Suggestion
from tests.report.synthetic_run import finish_trial, finished_run, judgement, make_run, set_status

UNET_1 = TrialSpec.of({"unet": 1})


def said(run) -> str:
    found = answer_of(collect(run), {})
    return f"{found.headline} {found.paragraph}"


def test_a_single_trial_has_nothing_to_compare(tmp_path):
    run = make_run(tmp_path / "run")
    finish_trial(run, UNET_1, 9216, {"fashion": judgement(16.9)})
    assert "There is nothing to compare UNet rank 1 to on fashion." in said(run)
    assert "UNet rank 1: FID 16.90, CLIP score 21.00." in said(run)


def test_numbers_without_their_images_are_point_estimates(tmp_path):
    assert "UNet rank 64: FID 16.10, CLIP score 23.30; point estimates" in said(finished_run(tmp_path / "run"))


def test_failed_and_unfinished_trials_are_named(tmp_path):
    run = make_run(tmp_path / "run", "exp3")
    set_status(run, TrialSpec.of({}), "failed", error="loss=nan")
    assert "1 of 2 trials failed (base model). 1 of 2 trials unfinished (UNet rank 1)." in said(run)


def test_without_any_number_there_is_no_answer(tmp_path: Path):
    assert "No trial has a FID on fashion" in said(make_run(tmp_path / "run"))


def test_who_has_forgotten_is_told_where_it_is_shown(tmp_path):
    run = make_run(tmp_path / "run", settings=["sweep.judge=[general]"])
    for rank, increase in ((1, 0.001), (2, 0.003)):
        lost = {"base_loss": 0.1, "loss_increase": increase, "loss_increase_se": 0.001, "loss_samples": 64}
        finish_trial(run, TrialSpec.of({"unet": rank}), 9216 * rank, {"general": judgement(16.9, **lost)})
    assert "on real general images, UNet rank 2 (+3.0%) is shown to have forgotten something" in said(run)


def test_the_spread_between_seeds_makes_forgetting_harder_to_show(tmp_path):
    run = make_run(tmp_path / "run", settings=["sweep.judge=[general]", "sweep.seeds=2"])
    for spec, increase in zip(collect(run).config.specs[:4], (0.003, 0.003, 0.001, 0.005), strict=True):
        lost = {"base_loss": 0.1, "loss_increase": increase, "loss_increase_se": 0.001, "loss_samples": 64}
        finish_trial(run, spec, 9216, {"general": judgement(16.9, **lost)})
    steady, unsteady = forgotten(collect(run), "general")
    assert (steady.title, unsteady.title) == ("UNet rank 1", "UNet rank 2")
    assert steady.increase == unsteady.increase == 0.003
    assert (steady.is_shown, unsteady.is_shown) == (True, False)


def test_a_search_that_has_not_begun_all_its_trials_says_so(tmp_path):
    run = make_run(tmp_path / "run", "search")
    Suggestion(0, UNET_1, 9216).write(run)
    finish_trial(run, UNET_1, 9216, {"fashion": judgement(16.9)})
    assert "The search has begun 1 of 12 trials." in said(run)


def test_too_few_images_for_a_fid_are_told(tmp_path):
    run = make_run(tmp_path / "run")
    finish_trial(run, UNET_1, 9216, {"fashion": judgement(16.9, samples=100)})
    assert "too few images for a FID" in said(run)
