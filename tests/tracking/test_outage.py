"""MLflow's server fails in every way it can; afterwards everything is there, once."""

import random
import shutil
import socket
import threading
import time
from itertools import pairwise

import pytest
from mlflow.entities import ViewType

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import RunError
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json, read_json_lines, write_json, write_json_lines
from fashion_sweep.tracking import mirror as tracking
from fashion_sweep.tracking import store as store_of_mlflow
from tests.report.synthetic_run import finish_trial, judgement, log_losses, make_run, set_status
from tests.tracking.asked import artifacts, client, history, runs

RANK_1, RANK_2 = TrialSpec.of({"unet": 1}), TrialSpec.of({"unet": 2})
CHANGES = ("/create", "/log-batch", "/set-tag", "/update", "/alias", "/mlflow-artifacts/artifacts/")


def whole_run(folder) -> RunPaths:
    """Finished, with a report and a winner."""
    run = make_run(folder, settings=["sweep.trials=[{unet: 1}, {unet: 2}]"])
    for rank in (1, 2):
        finish_trial(run, TrialSpec.of({"unet": rank}), 9216 * rank, {"fashion": judgement(15.5 + rank)})
    title = "UNet rank 1"
    verdict = {"chosen": title, "best": title, "best_trial": "unet-r1", "sentence": "It is.", "estimates": {}}
    write_json(run.results, {"answer": "It is.", "verdicts": {"fashion": verdict}})
    run.report.write_text("# report")
    return run


def check_all_is_there_once(run: RunPaths) -> None:
    found = runs()
    assert len(found) == 3
    for name, trial in found.items():
        if name == "parent":
            continue
        assert trial.info.status == "FINISHED"
        assert trial.data.tags["mlflow.parentRunId"] == found["parent"].info.run_id
        for key in ("train_loss", "val_loss"):
            told = [(point.step, point.value) for point in history(trial, key)]
            lines = read_json_lines(run.trial(name).metrics)
            assert told == [(line["step"], line[key]) for line in lines if key in line], (name, key)
        assert [point.value for point in history(trial, "fid")] == [
            read_json(run.trial(name).result)["evaluations"]["fashion"]["fid"]
        ]
        assert artifacts(trial, "adapter")[-1] == "adapter/pytorch_lora_weights.safetensors"
        assert len(artifacts(trial, "samples")) == 3
        assert trial.data.params["unet_rank"] == name.removeprefix("unet-r")
    assert len(client().search_model_versions("name = 'exp2-tiny'")) == 1
    assert client().get_model_version_by_alias("exp2-tiny", "best").version == "1"


def until_up_to_date(run: RunPaths, tries: int = 80) -> int:
    """How often `sync` had to be called."""
    for count in range(1, tries):
        try:
            tracking.mirror(run)
            return count
        except RunError:
            pass
    raise AssertionError(f"not up to date after {tries} times")


def test_every_first_answer_to_a_change_is_lost_and_nothing_is_there_twice(server, impatient, tmp_path):
    run, lost = whole_run(tmp_path / "run"), set()

    def once(method, path):
        first = method != "GET" and any(part in path for part in CHANGES) and (method, path) not in lost
        lost.add((method, path)) if first else None
        return first

    server.loses_answer = once
    until_up_to_date(run)
    assert len(lost) > 8
    experiment = client().get_experiment_by_name("exp2/tiny").experiment_id
    assert client().search_runs([experiment], run_view_type=ViewType.DELETED_ONLY) == []  # no twin was ever made
    check_all_is_there_once(run)


def test_a_third_of_all_answers_is_lost_and_nothing_is_there_twice(server, monkeypatch, tmp_path):
    monkeypatch.setattr(store_of_mlflow, "AGAIN_AFTER_S", (0.0, 0.0))
    run, draw = whole_run(tmp_path / "run"), random.Random(0)
    server.loses_answer = lambda method, path: draw.random() < 1 / 3
    until_up_to_date(run)
    server.loses_answer = lambda method, path: False
    check_all_is_there_once(run)


def test_requests_that_are_carried_out_after_they_were_given_up_leave_one_of_each(server, impatient, tmp_path):
    run, held = whole_run(tmp_path / "run"), set()

    def once(method, path):
        first = path.endswith(("runs/create", "model-versions/create", "log-batch")) and path not in held
        held.add(path) if first else None
        return first

    server.holds_back = once
    until_up_to_date(run)
    server.deliver()
    tracking.mirror(run)
    check_all_is_there_once(run)


def test_points_that_arrive_late_are_not_there_again_with_the_times_of_a_resumed_trial(server, impatient, tmp_path):
    run = make_run(tmp_path / "run")
    set_status(run, RANK_1, "running")
    log_losses(run, RANK_1, 1, 100)
    tracking.mirror(run)
    log_losses(run, RANK_1, 101, 200)
    server.holds_back = lambda method, path: path.endswith("log-batch")
    with pytest.raises(RunError):
        tracking.mirror(run)
    server.holds_back = lambda method, path: False
    lines = read_json_lines(run.trial("unet-r1").metrics)
    again = [line | {"time": line["time"] + 77_777} if line["step"] > 150 else line for line in lines]
    write_json_lines(run.trial("unet-r1").metrics, again)
    log_losses(run, RANK_1, 201, 210)
    tracking.mirror(run)
    server.deliver()
    assert [point.step for point in history(runs()["unet-r1"], "train_loss")] == list(range(1, 211))


@pytest.mark.parametrize("what_is_left", ["nothing", "the half"])
def test_a_server_that_lost_its_database_or_its_last_hours_is_given_them_again(
    server, initialised, tmp_path, what_is_left
):
    run = whole_run(tmp_path / "run")
    whole = run.trial("unet-r1").metrics.read_text()
    run.trial("unet-r1").metrics.write_text("".join(whole.splitlines(keepends=True)[:100]))
    run.report.unlink()
    run.trial("unet-r2").root.rename(tmp_path / "later")
    with tracking.Mirror(run, interval_s=0.05) as mirror:
        while len(server.requests) < 10 or mirror.behind or mirror._took == 0:
            time.sleep(0.05)
        backup = server.database.read_bytes()
        (tmp_path / "later").rename(run.trial("unet-r2").root)
        run.trial("unet-r1").metrics.write_text(whole)
        run.report.write_text("# report")
    check_all_is_there_once(run)
    server.start_with(initialised if what_is_left == "nothing" else backup)
    tracking.mirror(run)
    check_all_is_there_once(run)


def test_artifacts_that_are_gone_are_sent_again_by_sync(server, tmp_path):
    run = whole_run(tmp_path / "run")
    tracking.mirror(run)
    shutil.rmtree(tmp_path / "served-1")
    tracking.mirror(run)
    check_all_is_there_once(run)
    assert {"report.md", "results.json", "config.yaml"} <= set(artifacts(runs()["parent"]))


def test_a_pass_over_what_is_up_to_date_is_one_request(server, tmp_path):
    run = make_run(tmp_path / "run")
    for spec in (RANK_1, RANK_2):
        set_status(run, spec, "running")
        log_losses(run, spec, 1, 100)
    mirroring = tracking.Mirroring(server.uri, run)
    mirroring.go(going=True)
    mirroring.go(going=True)
    before = len(server.requests)
    mirroring.go(going=True)
    assert [path.rpartition("/")[2] for _, path in server.requests[before:]] == ["search"]


def test_a_part_that_is_refused_does_not_hold_up_the_rest(server, tmp_path):
    run = whole_run(tmp_path / "run")
    server.refuses = lambda method, path: method == "PUT" and path.endswith("lora_weights.safetensors")
    with pytest.raises(RunError, match=r"not all could be sent: .*413.*\(and 1 more\)"):
        tracking.mirror(run)
    assert {trial.info.status for trial in runs().values()} == {"FINISHED"}
    server.refuses = lambda method, path: False
    tracking.mirror(run)
    check_all_is_there_once(run)


def hanging() -> socket.socket:
    """Takes connections and never answers."""
    taking = socket.socket()
    taking.bind(("127.0.0.1", 0))
    taking.listen(64)
    return taking


def test_a_server_that_takes_connections_and_never_answers_is_waited_for_at_the_end_only(store, monkeypatch, capsys):
    monkeypatch.setattr(tracking, "PATIENCE_S", 0.5)
    with hanging() as taking:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{taking.getsockname()[1]}")
        began = time.monotonic()
        with tracking.Mirror(make_run(store / "run")) as mirror:
            entered = time.monotonic() - began
        assert entered < 0.2
        assert time.monotonic() - began < 1.5
        (said,) = capsys.readouterr().err.splitlines()
        assert "sync run" in said
    mirror._thread.join()  # else it goes on in the next test's surroundings


def test_a_server_that_is_down_is_asked_more_and_more_rarely(store, monkeypatch):
    asked = []

    def refuse(uri):
        asked.append(time.monotonic())
        raise RunError("does not answer")

    monkeypatch.setattr(tracking, "check_answers", refuse)
    with tracking.Mirror(make_run(store / "run"), interval_s=0.05):
        time.sleep(1)
    pauses = [later - sooner for sooner, later in pairwise(asked[:-1])]
    assert len(asked) <= 7
    assert pauses == sorted(pauses)


def test_an_answer_that_is_lost_at_the_very_end_is_asked_for_again(server, tmp_path, capsys):
    run, lost = whole_run(tmp_path / "run"), []

    def five_times(method, path):
        if path.endswith("log-batch") and len(lost) < 5:
            lost.append(path)
            return True
        return False

    server.loses_answer = five_times
    with tracking.Mirror(run, interval_s=60):
        pass
    assert capsys.readouterr().err == ""
    check_all_is_there_once(run)


@pytest.fixture
def impatient(monkeypatch):
    """Nothing is asked a second time within a pass."""
    monkeypatch.setattr(store_of_mlflow, "AGAIN_AFTER_S", ())


def test_a_password_in_the_address_reaches_no_file_and_no_terminal(server, impatient, tmp_path, monkeypatch, capsys):
    secret = "geheim%21"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri.replace("://", f"://me:{secret}@"))
    run = whole_run(tmp_path / "run")
    tracking.mirror(run)
    server.loses_answer = lambda method, path: True
    with pytest.raises(RunError) as caught:
        tracking.mirror(run)
    monkeypatch.setattr(tracking, "LAST_TRIES", 1)
    with tracking.Mirror(run):
        pass
    told = [str(caught.value), *capsys.readouterr()]
    told += [path.read_text(errors="replace") for path in run.root.rglob("*") if path.is_file()]
    assert "is behind" in run.log.read_text()
    assert not any(word in text for text in told for word in (secret, "geheim!"))


def test_eight_runs_at_once_are_all_there_once(server, tmp_path):
    folders = [make_run(tmp_path / f"run-{number}") for number in range(8)]
    for run in folders:
        finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9)})
    threads = [threading.Thread(target=until_up_to_date, args=(run,)) for run in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    experiment = client().get_experiment_by_name("exp2/tiny").experiment_id
    found = client().search_runs([experiment])
    assert len(found) == 16
    trials = [one for one in found if "trial_id" in one.data.tags]
    assert {len(history(trial, "train_loss")) for trial in trials} == {300}
    assert len({trial.data.tags["mlflow.parentRunId"] for trial in trials}) == 8


def test_two_processes_at_one_run_take_turns(store, monkeypatch):
    run = make_run(store / "run")
    monkeypatch.setattr(tracking, "PATIENCE_S", 0.2)
    with tracking._alone(run), pytest.raises(RunError, match="another process"):
        tracking.mirror(run)
