import pytest
from synthetic_run import finish_trial, finished_run, judgement, make_run, read, set_status

from fashion_sweep.errors import DataError, RunError
from fashion_sweep.paths import RunPaths
from fashion_sweep.report.answer import sentence
from fashion_sweep.report.page import write_results
from fashion_sweep.report.results import collect
from fashion_sweep.space import TrialSpec

BASE, RANK_1, RANK_64 = TrialSpec.of({}), TrialSpec.of({"unet": 1}), TrialSpec.of({"unet": 64})


def test_sentence_compares_the_smallest_adapter_with_the_lowest_fid_and_names_the_image_count(tmp_path):
    said = sentence(collect(finished_run(tmp_path / "run")))
    assert said.startswith("UNet rank 64 has the lowest FID (16.10")
    assert "UNet rank 1, the smallest adapter, has a FID 0.80 higher and a CLIP score 1.50 lower" in said
    assert "9,216 parameters against 589,824" in said
    assert "point estimates on 256 images" in said


def test_sentence_of_a_single_trial_has_nothing_to_compare(tmp_path):
    run = make_run(tmp_path / "run", settings=["sweep.trials=[{unet: 1}]"])
    finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9)})
    assert "UNet rank 1 reaches FID 16.90" in sentence(collect(run))
    assert "nothing to compare it to" in sentence(collect(run))


def test_sentence_of_one_adapter_says_what_it_did_to_the_base_model(tmp_path):
    run = make_run(tmp_path / "run", "exp3")
    finish_trial(run, BASE, 0, {"fashion": judgement(195.0, 19.0)})
    finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9, 21.8)})
    said = sentence(collect(run))
    assert "UNet rank 1 lowers the FID from 195.00 to 16.90" in said
    assert " and raises the CLIP score from 19.00 to 21.80;" in said


def test_sentence_counts_the_base_model_as_no_adapter(tmp_path):
    run = make_run(tmp_path / "run", settings=["sweep.trials=[{}, {unet: 1}, {unet: 2}]"])
    finish_trial(run, BASE, 0, {"fashion": judgement(195.0, 19.0)})
    finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9, 21.8)})
    finish_trial(run, TrialSpec.of({"unet": 2}), 18432, {"fashion": judgement(17.9, 21.8)})
    said = sentence(collect(run))
    assert "UNet rank 1 has the lowest FID (16.90, CLIP score 21.80) and is also the smallest adapter" in said
    assert "base model without an adapter has a FID 178.10 higher and a CLIP score 2.80 lower" in said


def test_sentence_says_that_the_base_model_is_better_where_it_is(tmp_path):
    run = make_run(tmp_path / "run", "exp3")
    finish_trial(run, BASE, 0, {"fashion": judgement(10.0)})
    finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9)})
    assert sentence(collect(run)).startswith("Against the base model, UNet rank 1 raises the FID from 10.00 to 16.90")


def test_sentence_names_failed_and_unfinished_trials(tmp_path):
    run = finished_run(tmp_path / "run")
    for spec, state in ((RANK_64, "failed"), (RANK_1, "running")):
        run.trial(spec.trial_id).result.unlink()
        set_status(run, spec, state, error="loss=nan at step 12")
    said = sentence(collect(run))
    assert "1 of 5 trials failed (UNet rank 64)" in said
    assert "1 of 5 trials unfinished (UNet rank 1)" in said
    assert "UNet rank 64 has" not in said


def test_sentence_without_any_number_gives_no_answer(tmp_path):
    assert "no answer" in sentence(collect(make_run(tmp_path / "run")))


def test_sentence_warns_when_image_counts_differ_or_are_too_few(tmp_path):
    run = make_run(tmp_path / "run", "exp3")
    finish_trial(run, BASE, 0, {"fashion": judgement(19.0, samples=128)})
    finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9, samples=128)})
    assert "too few for FID with 64 features" in sentence(collect(run))
    finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9)})
    assert "not comparable" in sentence(collect(run))


@pytest.mark.parametrize("gap", [None, float("nan"), float("inf"), "12", True])
def test_a_value_that_is_no_finite_number_is_a_gap(tmp_path, gap):
    run = make_run(tmp_path / "run", "exp3")
    finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9)})
    text = run.trial("unet-r1").result.read_text()
    token = {None: "null", "12": '"12"', True: "true"}.get(gap) or ("NaN" if gap != gap else "Infinity")
    run.trial("unet-r1").result.write_text(text.replace("16.9", token))
    assert collect(run).trials[1].judged("fashion").fid is None
    write_results(run, {})
    assert read(run.results)["trials"][1]["evaluations"]["fashion"]["fid"] is None


def test_trials_judged_by_different_extractors_never_share_a_table(tmp_path):
    run = make_run(tmp_path / "run", "exp3")
    finish_trial(run, BASE, 0, {"fashion": judgement(195.0)})
    finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9, features="inception-v3")})
    with pytest.raises(RunError, match="different models"):
        collect(run)


def test_a_folder_without_a_configuration_is_no_run(tmp_path):
    with pytest.raises(RunError, match="no run folder"):
        collect(RunPaths(tmp_path))


def test_a_damaged_result_is_named(tmp_path):
    run = finished_run(tmp_path / "run")
    run.trial("unet-r1").result.write_text("{")
    with pytest.raises(DataError, match=r"unet-r1.*result\.json"):
        collect(run)


def test_results_file_holds_the_trials_the_answer_and_the_times(tmp_path):
    run = finished_run(tmp_path / "run")
    write_results(run, {"prepare": 3.0, "total": 10.0})
    written = read(run.results)
    assert [trial["ranks"] for trial in written["trials"]] == [{"unet": rank} for rank in (1, 2, 4, 8, 64)]
    assert written["trials"][0]["evaluations"]["fashion"]["features"] == "tiny-clip"
    assert written["answer"] == sentence(collect(run))
    assert written["seconds"] == {"prepare": 3.0, "total": 10.0}
