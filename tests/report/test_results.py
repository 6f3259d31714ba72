from dataclasses import replace

import pytest

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import DataError, RunError
from fashion_sweep.report.page import write_results
from fashion_sweep.report.results import collect
from fashion_sweep.report.run_answer import answer_of
from fashion_sweep.report.sections import estimate_table
from fashion_sweep.report.verdict import verdicts_of
from fashion_sweep.run.paths import RunPaths
from tests.report.synthetic_run import finish_trial, finished_run, judgement, make_run, read
from tests.report.test_verdict import judged_run

BASE, RANK_1, RANK_64 = TrialSpec.of({}), TrialSpec.of({"unet": 1}), TrialSpec.of({"unet": 64})


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


def test_what_the_report_makes_itself_may_be_damaged(tmp_path):
    run = finished_run(tmp_path / "run")
    run.results.write_text("{")
    write_results(run, {})
    assert read(run.results)["trials"]


@pytest.mark.parametrize("gap", [None, float("nan"), float("inf"), "12", True])
def test_a_value_that_is_no_finite_number_is_a_gap(tmp_path, gap):
    run = make_run(tmp_path / "run", "exp3")
    finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9)})
    text = run.trial("unet-r1").result.read_text()
    token = {None: "null", "12": '"12"', True: "true"}.get(gap) or ("NaN" if gap != gap else "Infinity")
    run.trial("unet-r1").result.write_text(text.replace("16.9", token))
    assert collect(run).trials[1].on("fashion").metrics.get("fid") is None
    write_results(run, {})
    assert read(run.results)["trials"][1]["evaluations"]["fashion"]["fid"] is None


def test_results_file_holds_the_trials_the_answer_and_the_times(tmp_path):
    run = finished_run(tmp_path / "run")
    write_results(run, {"prepare": 3.0, "total": 10.0})
    written = read(run.results)
    assert [trial["ranks"] for trial in written["trials"]] == [{"unet": rank} for rank in (1, 2, 4, 8, 64)]
    assert written["trials"][0]["evaluations"]["fashion"]["features"] == "tiny-clip"
    found = answer_of(collect(run), {})
    assert (written["headline"], written["answer"]) == (found.headline, found.paragraph)
    assert written["seconds"] == {"prepare": 3.0, "total": 10.0}


def test_a_distance_below_0_is_explained_and_one_above_is_not(tmp_path):
    run = judged_run(tmp_path / "run", {"unet-r1": 0.0, "unet-r2": 1.0}, n=300)
    results = collect(run)
    verdict = verdicts_of(run, results)["fashion"]

    def caption(by: float) -> str:
        moved = {
            title: {"fid": replace(values["fid"], value=values["fid"].value + by)}
            for title, values in verdict.estimates.items()
        }
        return estimate_table(results, "fashion", replace(verdict, estimates=moved)).caption

    assert "FID∞ may fall below 0" in caption(-10)
    assert "below 0" not in caption(10)
