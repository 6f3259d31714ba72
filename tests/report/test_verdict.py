"""From the features in a run folder to the verdict and its sentence."""

import json
import re

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.errors import RunError
from fashion_sweep.judging.looks import looks_of
from fashion_sweep.judging.race import margins_of
from fashion_sweep.metrics.clip_score import CLIP_SCORE
from fashion_sweep.metrics.estimates_file import write_estimates
from fashion_sweep.metrics.fid import FeatureStats, fid_estimate
from fashion_sweep.metrics.metric import Estimate, RealImages, metrics_of
from fashion_sweep.report.page import write_report
from fashion_sweep.report.published import published_sentence
from fashion_sweep.report.results import collect
from fashion_sweep.report.run_answer import answer_of
from fashion_sweep.report.verdict import as_json, read_verdicts, verdicts_of
from fashion_sweep.storage.files import read_json, write_json
from tests.report.synthetic_run import finish_trial, judgement, make_run

D = 8
FIXED = ("sweep.choose.race=false", "margins={}")
"""Settings of runs that are judged in one go, by the margins of the metrics themselves."""
REFERENCE = FeatureStats(np.zeros(D), np.eye(D), 5000)


def judged_run(folder, shifts, sweep="exp2", settings=(), n=2000, prompts=None, cost=1.0, fixed=FIXED, noise=0.1):
    """A run whose trials' features are one sample, moved by `shifts[trial_id]`; a shift also costs CLIP score."""
    run = make_run(folder, sweep, [*settings, *fixed, f"evaluation.samples={n}"])
    rng = np.random.default_rng(0)
    common, scores = rng.standard_normal((n, D)), 20 + rng.standard_normal(n)
    names = [f"{i}.jpg" for i in range(n)] if prompts is None else prompts
    records = [{"name": name, "caption": f"A shirt, {name}."} for name in dict.fromkeys(names)]
    write_json(run.catalogue("fashion"), {"records": records, "filtered": 0, "problems": []})
    config = collect(run).config
    for spec in config.specs:
        if (shift := shifts.get(spec.trial_id)) is None:
            continue
        features = (common + 0.1 * rng.standard_normal((n, D)) + shift).astype(np.float32)
        clip_scores = (scores + noise * rng.standard_normal(n) - cost * shift).astype(np.float32)
        looks = {}
        for images in looks_of(config, "fashion"):
            found = _estimates(config, features[:images], clip_scores[:images], shift)
            write_estimates(run.trial(spec.trial_id).estimates("fashion", images), found, names[:images])
            looks[str(images)] = {name: one.value - one.bias - one.rest for name, one in found.items()}
        parameters = 9216 * sum(spec.adapter_values.values())
        judged = (
            judgement(found["fid"].value, found["clip_score"].value, samples=n) if "fid" in found else judgement(9.0)
        )
        judged["looks"] = looks
        judged |= {"cmmd": found["cmmd"].value, "cmmd_se": 0.01} if "cmmd" in found else {}
        finish_trial(run, spec, parameters, {"fashion": judged})
    return run


def _estimates(config, features, clip_scores, shift):
    scored = CLIP_SCORE.estimate({"clip_scores": clip_scores}, RealImages({}, {}), config.preset.evaluation)
    found = {"fid": fid_estimate(features, REFERENCE), "clip_score": scored}
    if "cmmd" in config.sweep.metrics:
        found["cmmd"] = Estimate(0.5 + shift, scored.influence / 100)
    return {name: found[name] for name in config.sweep.judge["fashion"]}


def concluded(run):
    return verdicts_of(run, collect(run))["fashion"]


def test_the_smallest_rank_as_good_as_the_best_is_chosen_and_worse_ones_are_named(tmp_path):
    shifts = {"unet-r1": 1.0, "unet-r2": 0.0, "unet-r4": 0.0, "unet-r8": 0.0, "unet-r64": 0.0}
    conclusion = concluded(judged_run(tmp_path / "run", shifts))
    assert conclusion.chosen == conclusion.best == "UNet rank 2"
    assert conclusion.best_trial == "unet-r2"
    assert "UNet rank 2 is the smallest configuration shown to be as good as the best" in conclusion.sentence
    assert "FID within 0.5, CLIP score within 0.3, 95% confidence" in conclusion.sentence
    assert "UNet rank 1 is shown to be worse" in conclusion.sentence
    assert conclusion.basis.startswith("2,000 images each on common prompts and noise")
    assert conclusion.headline == "Take UNet rank 2: as good as the best of five, 97 % fewer parameters than rank 64."


def test_a_rank_is_chosen_though_a_larger_one_is_worse(tmp_path):
    shifts = {"unet-r1": 0.0, "unet-r2": 0.0, "unet-r4": 1.0, "unet-r8": 0.0, "unet-r64": 0.0}
    said = concluded(judged_run(tmp_path / "run", shifts)).sentence
    assert "UNet rank 1 is the smallest configuration shown to be as good as the best" in said
    assert "would decide" not in said


def test_a_sample_too_small_is_undecided_and_says_what_would_decide(tmp_path):
    shifts = dict.fromkeys(["unet-r1", "unet-r2"], 0.0)
    conclusion = concluded(
        judged_run(tmp_path / "run", shifts, n=20, settings=["sweep.choose={margins: {clip_score: 0.05}}"])
    )
    assert conclusion.chosen is None
    assert conclusion.sentence.startswith("Undecided on fashion: no configuration is shown to be as good as the best")
    assert f"at least {conclusion.images_needed:,} images instead of 20 would be needed" in conclusion.sentence
    assert re.fullmatch(
        f"Undecided between UNet rank 1 and 2. At least {conclusion.images_needed:,} images would be needed, some .* "
        "more of a lane here; there are captions for 20.",
        conclusion.headline,
    )


def test_a_configuration_alone_has_its_intervals_and_nothing_to_compare_it_to(tmp_path):
    conclusion = concluded(judged_run(tmp_path / "run", {"unet-r1": 0.0}))
    assert (conclusion.chosen, conclusion.best, conclusion.front) == (None, "UNet rank 1", ("UNet rank 1",))
    fid = conclusion.estimates["UNet rank 1"]["fid"]
    assert f"UNet rank 1 has FID {fid.value:.2f} ({fid.low:.2f} to {fid.high:.2f})" in conclusion.sentence
    assert "nothing to compare it to" in conclusion.sentence
    assert conclusion.headline == "There is nothing to compare UNet rank 1 to."


def test_where_the_one_leads_in_fid_and_the_other_in_clip_score_no_more_images_are_asked_for(tmp_path):
    conclusion = concluded(judged_run(tmp_path / "run", {"unet-r1": 1.0, "unet-r2": 0.0}, cost=-1.0))
    assert conclusion.chosen is None
    assert conclusion.sentence.startswith("No configuration is as good as the best in both numbers on fashion")
    assert "the lowest FID is that of UNet rank 2" in conclusion.sentence
    assert "the highest CLIP score that of UNet rank 1" in conclusion.sentence
    best = "UNet rank 2 has the lowest FID, UNet rank 1 the highest CLIP score."
    assert (conclusion.headline, conclusion.images_needed) == (f"No single best: {best}", None)


def test_more_images_than_there_are_captions_are_called_so(tmp_path):
    run = judged_run(
        tmp_path / "run",
        {"unet-r1": 0.0, "unet-r2": 0.0},
        n=20,
        settings=["sweep.choose={margins: {clip_score: 0.05}}"],
    )
    assert "; of the 20 captions at least " in concluded(run).sentence


def test_a_configuration_measured_worse_in_both_is_off_the_front_and_possible_until_that_is_shown(tmp_path):
    conclusion = concluded(judged_run(tmp_path / "run", {"unet-r1": 0.0, "unet-r2": 0.1, "unet-r4": 1.0}, n=200))
    assert conclusion.front == ("UNet rank 1",)
    assert conclusion.possible == ("UNet rank 1", "UNet rank 2")


def test_margins_are_those_of_the_sweep_file(tmp_path):
    shifts = {"unet-r1": 0.2, "unet-r2": 0.0}
    strict = concluded(judged_run(tmp_path / "a", shifts, settings=["sweep.choose={margins: {clip_score: 0.1}}"]))
    loose = concluded(judged_run(tmp_path / "b", shifts, settings=["sweep.choose={margins: {clip_score: 0.5}}"]))
    assert (strict.chosen, loose.chosen) == ("UNet rank 2", "UNet rank 1")
    by_itself, given = (load_run_config("exp2", "tiny", [f"sweep.choose={c}"]) for c in ("{}", "{margins: {fid: 0.7}}"))
    fid, best = metrics_of(["fid"]), {"fid": 100.0}
    assert margins_of(by_itself.sweep.choose, fid, best)["fid"] == pytest.approx(3.0)
    assert margins_of(given.sweep.choose, fid, best)["fid"] == 0.7


def test_the_headline_names_what_is_open_and_what_is_worse_and_what_would_decide(tmp_path):
    shifts = {"unet-r1": 1.0, "unet-r2": 0.0, "unet-r4": 0.0, "unet-r8": 0.0, "unet-r64": 0.015}
    settings = ["sweep.choose={margins: {clip_score: 0.02}}"]
    conclusion = concluded(judged_run(tmp_path / "run", shifts, n=100, settings=settings))
    assert conclusion.chosen is None
    between, _, rest = conclusion.headline.partition("; ")
    assert between == "Undecided between UNet rank 2, 4, 8 and 64"
    assert rest.startswith(f"rank 1 is worse. At least {conclusion.images_needed:,} images would be needed, some ")


def test_the_largest_is_taken_where_no_smaller_one_is_as_good(tmp_path):
    shifts, two = {"unet-r1": 1.0, "unet-r2": 0.0}, ["sweep.trials=[{unet: 1}, {unet: 2}]"]
    said = concluded(judged_run(tmp_path / "run", shifts, settings=two)).headline
    assert said == "Take UNet rank 2: as good as the best of two."


def test_a_run_that_goes_on_tells_nobody_what_to_take(tmp_path):
    run = judged_run(tmp_path / "run", {"unet-r1": 1.0, "unet-r2": 0.0})
    found = answer_of(collect(run), {"fashion": concluded(run)}).headline
    assert found == ("So far, with 2 of 5 trials: UNet rank 2 is as good as the best of two.")


def test_of_configurations_of_one_size_none_is_called_large_or_small(tmp_path):
    settings = ["sweep.trials=[{unet: 1, learning_rate: 0.01}, {unet: 1, learning_rate: 0.001}]"]
    shifts = {"unet-r1-lr0.01": 0.0, "unet-r1-lr0.001": 0.0}
    said = concluded(judged_run(tmp_path / "run", shifts, settings=settings)).headline
    assert said == "Take UNet rank 1, lr 0.01: as good as the best of two."


def test_one_adapter_is_told_against_the_base_model_with_an_interval(tmp_path):
    conclusion = concluded(judged_run(tmp_path / "run", {"base-model": 0.5, "unet-r1": 0.0}, "exp3"))
    assert conclusion.sentence.startswith("Against the base model, UNet rank 1 lowers the FID from 2.")
    assert "raises the CLIP score from 19." in conclusion.sentence
    assert re.fullmatch(
        r"Against the base model UNet rank 1 is better in FID \(2\.\d\d → \S+\) and "
        r"CLIP score \(19\.\d\d → 20\.\d\d\)\.",
        conclusion.headline,
    )


def test_replicates_are_one_configuration_and_their_spread_widens_the_bounds(tmp_path):
    shifts = {"unet-r1": 0.0, "unet-r1-seed1": 0.15, "unet-r2": 0.05, "unet-r2-seed1": 0.2}
    conclusion = concluded(judged_run(tmp_path / "run", shifts, settings=["sweep.seeds=2"]))
    alone = concluded(judged_run(tmp_path / "alone", {"unet-r1": 0.0, "unet-r2": 0.05}))
    assert list(conclusion.estimates) == ["UNet rank 1", "UNet rank 2"]
    assert conclusion.seeds == 2
    assert "2 training seeds each" in conclusion.basis
    both, one = (c.estimates["UNet rank 1"]["clip_score"] for c in (conclusion, alone))
    assert both.high - both.low > 2 * (one.high - one.low)


def test_trials_judged_on_other_prompts_are_not_compared(tmp_path):
    run = judged_run(tmp_path / "run", {"unet-r1": 0.0, "unet-r2": 0.0}, n=50)
    estimates = {name: Estimate(1.0, np.zeros(50)) for name in ("fid", "clip_score")}
    write_estimates(run.trial("unet-r2").estimates("fashion", 50), estimates, [f"{i}.jpg" for i in range(1, 51)])
    with pytest.raises(RunError, match="judged on fashion by other prompts"):
        verdicts_of(run, collect(run))


@pytest.mark.parametrize("damage", ["missing", "torn", "not finite", "rows", "metric"])
def test_damaged_estimates_are_an_error_and_never_a_configuration_less(tmp_path, damage):
    run = judged_run(tmp_path / "run", {"unet-r1": 0.0, "unet-r2": 0.0}, n=50)
    path, names = run.trial("unet-r2").estimates("fashion", 50), [f"{i}.jpg" for i in range(50)]
    estimates = {name: Estimate(1.0, np.zeros(50)) for name in ("fid", "clip_score")}
    if damage == "missing":
        path.unlink()
    elif damage == "torn":
        path.write_bytes(path.read_bytes()[:300])
    elif damage == "not finite":
        write_estimates(path, estimates | {"fid": Estimate(1.0, np.full(50, np.nan))}, names)
    elif damage == "rows":
        with safe_open(path, "np") as file:
            metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in estimates}
        save_file(tensors, path, metadata | {"prompts": json.dumps(names[1:])})
    else:
        write_estimates(path, {"fid": estimates["fid"]}, names)
    with pytest.raises(RunError, match="estimates/fashion-000050"):
        verdicts_of(run, collect(run))


def test_images_with_one_caption_are_counted_as_one_draw(tmp_path):
    shifts = {"unet-r1": 0.0, "unet-r2": 0.0}
    apart, alike = (judged_run(tmp_path / name, shifts, n=200) for name in ("apart", "alike"))
    records = read_json(alike.catalogue("fashion"))
    for number, record in enumerate(records["records"]):
        record["caption"] = f"Caption {number // 50}."
    write_json(alike.catalogue("fashion"), records)
    widths = [
        interval.high - interval.low
        for run in (apart, alike)
        for interval in [concluded(run).estimates["UNet rank 1"]["clip_score"]]
    ]
    assert abs(widths[0] - widths[1]) > 0.1 * widths[0]


def test_the_report_keeps_the_conclusion_for_others_to_read(tmp_path):
    run = judged_run(tmp_path / "run", {"unet-r1": 0.0, "unet-r2": 0.0}, n=200)
    write_report(run, {})
    assert read_verdicts(run) == {"fashion": concluded(run)}
    assert json.loads(json.dumps(as_json(concluded(run))))["best_trial"] == concluded(run).best_trial
    assert concluded(run).sentence in run.report.read_text()
    assert f"**{answer_of(collect(run), read_verdicts(run)).headline}**" in run.report.read_text()


def test_the_studys_table_does_not_show_that_rank_1_is_as_good():
    sweep = load_run_config("exp2").sweep
    metrics = metrics_of(sweep.judge["fashion"])
    margins = margins_of(sweep.choose, metrics, {"fid": 16.11, "clip_score": 23.29})
    said = published_sentence(sweep.published["fashion"], metrics, margins)
    assert "UNet rank 64 alone lies within the margins" in said
    assert "UNet rank 1 has a FID 0.74 above UNet rank 64 and a CLIP score 1.46 below" in said
    assert "the table does not show that it is as good" in said
    assert "standard error of the gap at most 0.35" in said


def test_a_third_metric_has_its_say_and_stands_in_every_part_of_the_report(tmp_path):
    settings = ["sweep.judge={fashion: [fid, clip_score, cmmd]}", "sweep.choose={margins: {cmmd: 0.02}}"]
    shifts = {"unet-r1": 0.1, "unet-r2": 0.0}  # within the margins of FID and CLIP score
    run, without = judged_run(tmp_path / "run", shifts, settings=settings), judged_run(tmp_path / "without", shifts)
    assert (concluded(without).chosen, concluded(run).chosen) == ("UNet rank 1", "UNet rank 2")
    write_report(run, {})
    verdict, page = concluded(run), run.report.read_text()
    assert "CMMD within 0.02" in verdict.sentence
    assert "is shown to be worse than UNet rank 2 in CMMD" in verdict.sentence
    assert list(verdict.estimates["UNet rank 1"]) == ["fid", "clip_score", "cmmd"]
    assert "CMMD∞ ↓ (95 %)" in page
    assert "0.600 ± 0.010" in page
    assert "CLIP score and CMMD by embedded:clip" in page
    assert (run.plots / "quality-fashion-cmmd.png").is_file()
    assert "fashion.cmmd_corrected" in run.table.read_text().splitlines()[0]
    assert read_verdicts(run) == {"fashion": verdict}


def test_one_metric_alone_may_decide(tmp_path):
    settings = ["sweep.judge={fashion: [cmmd]}"]
    verdict = concluded(judged_run(tmp_path / "run", {"unet-r1": 0.5, "unet-r2": 0.0}, settings=settings))
    assert verdict.chosen == "UNet rank 2"
    assert "(CMMD within 0.02, 95% confidence)" in verdict.sentence
