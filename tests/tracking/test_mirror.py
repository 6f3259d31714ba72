import socket
import sqlite3
import subprocess
import sys
import time

import pytest

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import ConfigError, RunError
from fashion_sweep.report.page import write_report
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.specs import Suggestion
from fashion_sweep.storage.files import write_json
from fashion_sweep.tracking import mirror as tracking
from fashion_sweep.tracking.ui import open_ui
from tests.report.synthetic_run import finish_trial, finished_run, judgement, log_losses, make_run, set_status
from tests.tracking.asked import artifacts, client, history, runs

RANK_1, RANK_2 = TrialSpec.of({"unet": 1}), TrialSpec.of({"unet": 2})


def test_finished_run_is_mirrored_with_params_metrics_and_artifacts(store):
    run = finished_run(store / "run")
    write_report(run, {})
    tracking.mirror(run)
    found = runs()
    parent, child = found.pop("parent"), found["unet-r64"]
    assert {trial.info.status for trial in found.values()} == {parent.info.status} == {"FINISHED"}
    assert {trial.data.tags["mlflow.parentRunId"] for trial in found.values()} == {parent.info.run_id}
    expected = {"unet_rank": "64", "parameters": "589824", "learning_rate": "0.002", "steps": "300", "preset": "tiny"}
    assert expected.items() <= child.data.params.items()
    assert {
        "fid": 16.1,
        "kid": 0.00123,
        "clip_score": 23.3,
        "seconds_train": 40.0,
    }.items() <= child.data.metrics.items()
    assert (child.data.tags["features"], child.data.tags["samples"]) == ("tiny-clip", "256")
    assert [point.step for point in history(child, "val_loss")] == [50, 100, 150, 200, 250, 300]
    assert history(child, "train_loss")[0].timestamp == 1_700_000_000_100
    assert artifacts(child, "adapter") == ["adapter/pytorch_lora_weights.safetensors"]
    assert len(artifacts(child, "samples")) == 3
    assert {"report.md", "results.json", "grid.png", "config.yaml"} <= set(artifacts(parent))
    assert "plots/loss.svg" in artifacts(parent, "plots")
    assert parent.info.artifact_uri.startswith((store / "mlflow-artifacts").as_uri())


@pytest.mark.parametrize("position_lost", [False, True])
def test_replay_doubles_nothing(store, position_lost):
    run = finished_run(store / "run")
    tracking.mirror(run)
    first = {name: {key: len(history(trial, key)) for key in trial.data.metrics} for name, trial in runs().items()}
    if position_lost:
        run.mirror.unlink()
        run.trial("unet-r1").result.touch()  # as a copied folder has it
    tracking.mirror(run)
    again = {name: {key: len(history(trial, key)) for key in trial.data.metrics} for name, trial in runs().items()}
    assert again == first
    assert first["unet-r1"] | {"train_loss": 300, "fid": 1} == first["unet-r1"]


def test_steps_reported_again_after_a_restart_are_stored_once(store):
    run = make_run(store / "run")
    set_status(run, RANK_1, "running")
    log_losses(run, RANK_1, 1, 150)
    tracking.mirror(run)
    later = run.trial("unet-r1").metrics.read_text().replace("17000000", "17000001")  # measured at another time
    run.trial("unet-r1").metrics.open("a").write(later)
    log_losses(run, RANK_1, 151, 200)
    tracking.mirror(run)
    assert [point.step for point in history(runs()["unet-r1"], "val_loss")] == [50, 100, 150, 200]
    assert len(history(runs()["unet-r1"], "train_loss")) == 200


def test_statuses_follow_the_trials_through_failure_kill_and_resume(store):
    run = make_run(store / "run")
    set_status(run, RANK_1, "failed", error="loss=nan at step 12")
    set_status(run, RANK_2, "running")
    tracking.mirror(run, going=True)
    assert {name: trial.info.status for name, trial in runs().items()} == {
        "parent": "RUNNING",
        "unet-r1": "FAILED",
        "unet-r2": "RUNNING",
    }
    assert runs()["unet-r1"].data.tags["error"] == "loss=nan at step 12"
    tracking.mirror(run, going=False)
    tracking.mirror(run)  # does not bring a killed run back to life
    assert (runs()["parent"].info.status, runs()["unet-r2"].info.status) == ("KILLED", "KILLED")
    tracking.mirror(run, going=True)
    assert (runs()["parent"].info.status, runs()["unet-r2"].info.status) == ("RUNNING", "RUNNING")


def test_missing_and_not_finite_numbers_stay_gaps(store):
    run = make_run(store / "run")
    finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9, None)})
    text = run.trial("unet-r1").result.read_text()
    run.trial("unet-r1").result.write_text(text.replace("16.9", "NaN"))
    tracking.mirror(run)
    assert not {"fid", "clip_score"} & runs()["unet-r1"].data.metrics.keys()


def test_metrics_are_suffixed_only_where_several_sets_are_judged(store):
    run = make_run(store / "run", settings=["sweep.judge=[fashion, general]"])
    finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9), "general": judgement(55.5)})
    tracking.mirror(run)
    metrics = runs()["unet-r1"].data.metrics
    assert (metrics["fid_fashion"], metrics["fid_general"]) == (16.9, 55.5)
    assert "fid" not in metrics


def test_two_invocations_of_a_sweep_are_two_parents_of_one_experiment(store):
    for name in ("first", "second"):
        tracking.mirror(make_run(store / name))
    experiment = client().get_experiment_by_name("exp2/tiny")
    assert {run.info.run_name for run in client().search_runs([experiment.experiment_id])} == {"first", "second"}


def test_background_mirror_catches_up_at_the_end_and_stays_silent(store, capfd):
    run = make_run(store / "run")
    with tracking.Mirror(run, interval_s=60) as mirror:
        finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9)})
    assert mirror.behind is None
    assert runs()["unet-r1"].data.metrics["fid"] == 16.9
    assert capfd.readouterr() == ("", "")


def test_interrupted_run_is_marked_killed(store):
    run = make_run(store / "run")
    set_status(run, RANK_1, "running")
    with pytest.raises(KeyboardInterrupt), tracking.Mirror(run):
        raise KeyboardInterrupt
    assert {trial.info.status for trial in runs().values()} == {"KILLED"}


def test_a_store_made_from_nothing_logs_nothing_to_the_terminal(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("FASHION_SWEEP_RUNS", str(tmp_path / "runs"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracking.mirror(make_run(tmp_path / "run"))
    assert (tmp_path / "runs" / "mlflow.db").is_file()
    assert capfd.readouterr() == ("", "")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_store_that_two_processes_make_at_once_is_whole(tmp_path):
    code = "import sys; from fashion_sweep.tracking.store import client\n"
    code += "print(len(client(sys.argv[1]).search_experiments()))"
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["1\n", "1\n"]


def test_a_server_that_is_down_neither_fails_nor_slows_the_run(store, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    run = make_run(store / "run")
    began = time.monotonic()
    with tracking.Mirror(run, interval_s=0.05):
        time.sleep(0.2)
    assert time.monotonic() - began < 3
    said = capsys.readouterr().err.strip()
    assert "is behind" in said
    assert len(said.splitlines()) == 1
    assert run.log.read_text().count("does not answer") == 1


def test_a_folder_without_a_configuration_is_no_run(tmp_path):
    with pytest.raises(RunError, match="no run folder"):
        tracking.mirror(RunPaths(tmp_path))


def test_ui_without_a_store_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_SWEEP_RUNS", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError, match="run a sweep first"):
        open_ui(free_port())


def test_ui_on_a_taken_port_is_one_line(store):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="choose another"):
            open_ui(taken.getsockname()[1])


def test_a_trial_that_a_search_stopped_is_killed_with_the_step_and_the_run_is_complete(store):
    run = make_run(store / "run", "search")
    stopped, done = (TrialSpec.of({"unet": 1, "learning_rate": rate}) for rate in (0.001, 0.002))
    for number, spec in enumerate((stopped, done)):
        Suggestion(number, spec, 17184).write(run)
    set_status(run, stopped, "running")
    log_losses(run, stopped, 1, 100)
    write_json(run.trial(stopped.trial_id).stopped, {"step": 100, "val_loss": 0.61, "time": 1.7e9})
    finish_trial(run, done, 17184, {"fashion": judgement(16.1)})
    write_report(run, {})
    tracking.mirror(run)
    found = runs("search/tiny")
    child = found[stopped.trial_id]
    assert (child.info.status, child.data.tags["stopped_at_step"]) == ("KILLED", "100")
    expected = {"learning_rate": "0.001", "parameters": "17184", "unet_rank": "1", "text_encoders_rank": "0"}
    assert expected.items() <= child.data.params.items()
    assert found["parent"].info.status == "FINISHED"


def test_fid_less_its_bias_is_mirrored_once_the_report_has_it(store):
    run = finished_run(store / "run")
    tracking.mirror(run)
    assert "fid_corrected" not in runs()["unet-r1"].data.metrics
    verdict = {"estimates": {"UNet rank 1": {"fid": {"value": 12.5}}}}
    write_json(run.results, {"verdicts": {"fashion": verdict}})
    tracking.mirror(run)
    assert runs()["unet-r1"].data.metrics["fid_corrected"] == 12.5
    assert "fid_corrected" not in runs()["unet-r2"].data.metrics


def test_what_may_be_lost_may_be_damaged(store):
    run = finished_run(store / "mine")
    damaged = next(iter(run.trials.iterdir()))
    damaged.joinpath("status.json").write_text("{")
    write_report(run, {})
    run.mirror.write_text("[]")
    tracking.mirror(run)
    assert {one.info.status for one in runs().values()} == {"FINISHED"}


def test_a_database_that_fails_is_one_line_without_a_traceback(store, capfd):
    run = finished_run(store / "mine")
    with sqlite3.connect(store / "mlflow.db") as database:
        database.execute("alter table tags rename column value to lost")
    with pytest.raises(RunError) as raised:
        tracking.mirror(run)
    assert len(str(raised.value).splitlines()) == 1
    assert "Traceback" not in "".join(capfd.readouterr())
