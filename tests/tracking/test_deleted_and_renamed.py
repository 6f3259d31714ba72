"""What users do to runs in MLflow is respected; what they do to a run folder does not double it."""

import shutil

import pytest

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import RunError
from fashion_sweep.storage.files import write_json
from fashion_sweep.tracking import mirror as tracking
from tests.report.synthetic_run import finish_trial, finished_run, judgement, make_run, set_status
from tests.tracking.asked import client, history, runs

RANK_1 = TrialSpec.of({"unet": 1})


def test_a_trial_that_a_user_deleted_stays_deleted_and_is_told(store):
    run = finished_run(store / "run")
    tracking.mirror(run)
    client().delete_run(runs()["unet-r2"].info.run_id)
    assert tracking.mirror(run) == ["UNet rank 2"]
    assert "unet-r2" not in runs()


@pytest.mark.parametrize("with_its_experiment", [False, True])
def test_a_run_that_a_user_deleted_stays_deleted(store, with_its_experiment, capsys):
    run = make_run(store / "run")
    tracking.mirror(run)
    parent = runs()["parent"].info
    if with_its_experiment:
        client().delete_experiment(parent.experiment_id)
    else:
        client().delete_run(parent.run_id)
    with pytest.raises(RunError, match="was deleted in MLflow"):
        tracking.mirror(run)
    with tracking.Mirror(run):
        pass
    assert runs() == {}
    assert capsys.readouterr().err == ""
    assert "was deleted in MLflow" in run.log.read_text()


def test_a_new_run_brings_its_deleted_experiment_back_without_what_was_in_it(store):
    tracking.mirror(make_run(store / "older"))
    client().delete_experiment(client().get_experiment_by_name("exp2/tiny").experiment_id)
    tracking.mirror(make_run(store / "newer"))
    assert [run.info.run_name for run in runs().values()] == ["newer"]


def test_runs_and_experiments_that_a_user_renamed_are_found(store):
    run = make_run(store / "run")
    finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9)})
    tracking.mirror(run)
    client().update_run(runs()["parent"].info.run_id, name="our best")
    client().rename_experiment(runs()["parent"].info.experiment_id, "ranks")
    tracking.mirror(run)
    assert client().get_experiment_by_name("exp2/tiny") is None
    assert runs("ranks")["parent"].info.run_name == "our best"
    assert len(history(runs("ranks")["unet-r1"], "train_loss")) == 300


def test_a_run_folder_that_was_moved_or_renamed_is_the_same_run(store):
    run = make_run(store / "run")
    tracking.mirror(run)
    moved = type(run)(run.root.rename(store / "moved"))
    moved.mirror.unlink()
    tracking.mirror(moved)
    assert runs()["parent"].data.tags["run"] == "moved"


def test_a_run_without_its_facts_is_still_the_same_and_a_copy_beside_it_is_another(store):
    run = make_run(store / "run")
    tracking.mirror(run)
    run.facts.unlink()
    tracking.mirror(run)
    parent = runs()["parent"]
    copy = type(run)(shutil.copytree(run.root, store / "copy"))
    for _ in range(2):
        tracking.mirror(copy)
        tracking.mirror(run)
    found = client().search_runs([parent.info.experiment_id])
    assert sorted(one.data.tags["run"] for one in found) == ["copy", "run"]


def test_a_value_that_sank_is_the_one_shown_even_if_the_clock_was_set_back(store):
    run = finished_run(store / "run")
    for value in (12.5, 11.0, 13.0, 10.0):
        write_json(run.results, {"verdicts": {"fashion": {"estimates": {"UNet rank 1": {"fid": {"value": value}}}}}})
        tracking.mirror(run)
        tracking.mirror(run)
    points = history(runs()["unet-r1"], "fid_corrected")
    assert [point.value for point in sorted(points, key=lambda point: point.timestamp)] == [12.5, 11.0, 13.0, 10.0]
    assert runs()["unet-r1"].data.metrics["fid_corrected"] == 10.0


def test_of_twins_one_is_kept_with_all_that_belongs_to_it(store):
    run = make_run(store / "run")
    finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9)})
    tracking.mirror(run)
    for original in runs().values():
        client().create_run(original.info.experiment_id, original.info.start_time, original.data.tags)
    tracking.mirror(run)
    found = runs()
    assert found["unet-r1"].data.tags["mlflow.parentRunId"] == found["parent"].info.run_id
    assert len(history(found["unet-r1"], "train_loss")) == 300


def test_sync_marks_a_run_that_nobody_works_on_as_killed(store):
    from fashion_sweep.config.loading import read_run_config
    from fashion_sweep.run.claim import claimed, is_claimed

    run = make_run(store / "run")
    set_status(run, RANK_1, "running")
    with claimed(run, read_run_config(run.config)):
        tracking.mirror(run, going=is_claimed(run))
        assert {one.info.status for one in runs().values()} == {"RUNNING"}
    tracking.mirror(run, going=is_claimed(run))
    assert {one.info.status for one in runs().values()} == {"KILLED"}
