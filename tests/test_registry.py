"""The winner in MLflow's model registry, in a store of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import mlflow.diffusers
import pytest
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue, Record, write_catalogue
from fashion_sweep.errors import ConfigError, RunError
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json, write_json, write_text
from fashion_sweep.tracking import mirror as tracking
from fashion_sweep.tracking.fetching import fetch
from tests.report.synthetic_run import finish_trial, judgement, make_run, set_status

SENTENCE = "UNet rank 4 is the smallest rank that is as good as the best."


@pytest.fixture(scope="module")
def initialised(tmp_path_factory):
    """An empty store; making one takes seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path.read_bytes()


@pytest.fixture
def store(initialised, runs_root):
    runs_root.mkdir()
    (runs_root / "mlflow.db").write_bytes(initialised)
    return runs_root


def client() -> MlflowClient:
    return MlflowClient(tracking.tracking_uri())


def run_with_verdict(
    folder: Path,
    best: str = "unet-r4",
    decided: bool = True,
    started: str = "2026-01-02T03:04:05+00:00",
    samples: int = 256,
    at_most: int = 2048,
) -> RunPaths:
    settings = ["sweep.trials=[{unet: 0}, {unet: 4}, {unet: 8}]", f"evaluation.samples={at_most}"]
    run = make_run(folder, settings=settings)
    for rank, fid, score in ((0, 18.1, 20.1), (4, 17.7, 22.5), (8, 16.7, 22.8)):
        finish_trial(
            run, TrialSpec.of({"unet": rank}), 9216 * rank, {"fashion": judgement(fid, score, samples=samples)}, steps=5
        )
    run.trial("base-model").adapter.unlink()
    write_json(run.facts, read_json(run.facts) | {"started": started})
    judge(run, best, decided)
    write_text(run.report, "# The report of a finished run\n")
    return run


def judge(run: RunPaths, best: str, decided: bool = True) -> None:
    title = "base model" if best == "base-model" else f"UNet rank {best.removeprefix('unet-r')}"
    verdict = {"chosen": title if decided else None, "best": title, "best_trial": best, "sentence": SENTENCE}
    write_json(run.results, {"answer": SENTENCE, "verdicts": {"fashion": verdict}})


def versions() -> list:
    found = client().search_model_versions("name = 'exp2-tiny'")
    return sorted(found, key=lambda version: int(version.version))


def best() -> str:
    return client().get_model_version_by_alias("exp2-tiny", "best").tags["run"]


def told(run: RunPaths) -> str:
    experiment = client().get_experiment_by_name("exp2/tiny").experiment_id
    return client().search_runs([experiment], f"tags.run = '{run.name}'")[0].data.tags.get("registered")


def test_whatever_the_runs_folder_is_called_an_adapter_comes_back_out_of_its_store(initialised, tmp_path, monkeypatch):
    root = tmp_path / "a ?uri=true#b%41"
    root.mkdir()
    (root / "mlflow.db").write_bytes(initialised)
    monkeypatch.setenv("FASHION_SWEEP_RUNS", str(root))
    monkeypatch.chdir(tmp_path)
    run = run_with_verdict(root / "first")
    tracking.mirror(run)
    fetched = fetch("models:/exp2-tiny@best", tmp_path / "fetched")
    assert fetched.file.read_bytes() == run.trial("unet-r4").adapter.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {root.name, "fetched"}
    assert {path.name for path in root.iterdir()} == {"first", "mlflow.db", "mlflow-artifacts"}


def test_the_winner_becomes_one_version_however_often_the_run_is_mirrored(store):
    run = run_with_verdict(store / "first")
    with tracking.Mirror(run):
        pass
    run.mirror.unlink()
    tracking.mirror(run)
    (version,) = versions()
    assert version.description == SENTENCE
    expected = {
        "run": "first",
        "trial_id": "unet-r4",
        "configuration": "UNet rank 4",
        "verdict": SENTENCE,
        "decided": "true",
        "unet_rank": "4",
        "parameters": "36864",
        "lora_alpha": "1.0",
        "evaluation_set": "fashion",
        "fid": "17.7",
        "clip_score": "22.5",
        "samples": "256",
        "features": "tiny-clip",
        "preset": "tiny",
        "base_model": "embedded:base",
    }
    assert {key: version.tags.get(key) for key in expected} == expected
    assert told(run) == "models:/exp2-tiny/1: UNet rank 4; now models:/exp2-tiny@best"


def test_anyone_can_download_the_winner_by_its_alias(store, tmp_path, monkeypatch):
    run = run_with_verdict(store / "first")
    tracking.mirror(run)
    weights = run.trial("unet-r4").adapter.read_bytes()
    address = "models:/exp2-tiny@best"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.tracking_uri())
    folder = Path(download_artifacts(address, dst_path=str(tmp_path / "by-mlflow")))
    assert (folder / run.trial("unet-r4").adapter.name).read_bytes() == weights
    loaded = mlflow.diffusers.load_model(str(folder))
    assert (Path(loaded.adapter_path) / run.trial("unet-r4").adapter.name).is_file()
    assert Path(loaded.base_model).is_dir()
    for given in (address, "models:/exp2-tiny/1"):
        fetched = fetch(given, tmp_path / "by-us")
        assert (fetched.file.read_bytes(), fetched.address) == (weights, "models:/exp2-tiny/1")
        assert fetched.config is not None
        assert fetched.config.read_bytes() == run.config.read_bytes()


def test_best_moves_to_a_newer_run_and_not_back_when_the_older_one_is_mirrored_again(store):
    older = run_with_verdict(store / "older", started="2026-01-02T03:04:05+00:00")
    newer = run_with_verdict(store / "newer", "unet-r8", decided=False, started="2026-01-03T03:04:05+00:00")
    tracking.mirror(older)
    assert best() == "older"
    tracking.mirror(newer)
    tracking.mirror(older)
    assert best() == "newer"
    assert [version.tags["decided"] for version in versions()] == ["true", "false"]


def test_a_run_that_was_judged_less_does_not_take_best(store):
    full = run_with_verdict(store / "full", started="2026-01-02T03:04:05+00:00")
    tracking.mirror(full)
    quick = run_with_verdict(store / "quick", started="2026-01-03T03:04:05+00:00", at_most=160)
    tracking.mirror(quick)
    assert best() == "full"
    stays = "models:/exp2-tiny@best stays version 1, with 2048 images to be judged at most against 160"
    assert told(quick).endswith(stays)
    decided_sooner = run_with_verdict(store / "sooner", started="2026-01-04T03:04:05+00:00", samples=160)
    tracking.mirror(decided_sooner)
    assert best() == "sooner"


def test_a_verdict_that_changes_within_a_run_moves_best_to_the_other_trial(store):
    run = run_with_verdict(store / "first", "unet-r4")
    tracking.mirror(run)
    judge(run, "unet-r8")
    tracking.mirror(run)
    assert client().get_model_version_by_alias("exp2-tiny", "best").tags["trial_id"] == "unet-r8"
    judge(run, "unet-r4", decided=False)
    tracking.mirror(run)
    assert client().get_model_version_by_alias("exp2-tiny", "best").tags["trial_id"] == "unet-r4"
    assert len(versions()) == 2
    assert versions()[0].tags["decided"] == "false"


def test_a_run_without_a_verdict_registers_nothing(store):
    run = run_with_verdict(store / "first")
    write_json(run.results, {"answer": "UNet rank 64 has the lowest FID"})
    tracking.mirror(run)
    assert versions() == []
    assert told(run) is None


def test_a_run_that_has_not_ended_registers_nothing(store):
    run = run_with_verdict(store / "first")
    run.trial("unet-r8").result.unlink()
    write_json(run.trial("unet-r8").status, {"state": "running", "time": 1.0})
    tracking.mirror(run)
    assert versions() == []


def test_a_base_model_that_wins_is_said_and_not_registered(store):
    run = run_with_verdict(store / "first", "base-model")
    tracking.mirror(run)
    assert versions() == []
    assert told(run) == "nothing: the base model, which has no adapter, is the best"


def test_an_address_of_nothing_is_told_with_what_there_is(store, tmp_path):
    tracking.mirror(run_with_verdict(store / "first"))
    for address, said in [
        ("models:/exp2-tny@best", "did you mean 'exp2-tiny'?"),
        ("models:/exp2-tiny@bset", "did you mean 'best'?"),
        ("models:/exp2-tiny/7", "there is no version 7; known: 1"),
        ("models:/exp2-tiny", "write it as models:/NAME@best"),
        ("models://exp2-tiny@best", "write it as models:/NAME@best"),
    ]:
        with pytest.raises(ConfigError) as caught:
            fetch(address, tmp_path / "there")
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_adapter_whose_artifact_is_gone_is_one_line(store, tmp_path):
    run = run_with_verdict(store / "first")
    tracking.mirror(run)
    for path in (store / "mlflow-artifacts").rglob("adapter"):
        path.rename(path.with_name("elsewhere"))
    with pytest.raises(RunError, match="cannot deliver") as caught:
        fetch("models:/exp2-tiny@best", tmp_path / "there")
    assert "\n" not in str(caught.value)


def test_registering_says_nothing_on_the_terminal(store, capfd):
    tracking.mirror(run_with_verdict(store / "first"))
    assert capfd.readouterr() == ("", "")


def test_the_size_that_training_was_conditioned_on_goes_with_the_adapter(store):
    run = run_with_verdict(store / "first")
    record = Record("a.jpg", store / "a.jpg", "A shirt.", width=110, height=160)
    write_catalogue(run.catalogue("fashion"), Catalogue((record,), 0, ()))
    tracking.mirror(run)
    assert versions()[0].tags["original_size"] == "160x110"


@pytest.fixture
def server(store, monkeypatch):
    """`mlflow server` on a store of its own, artifacts served by it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{store / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(store / "served")]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet, start_new_session=True)
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    yield
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()


def test_a_server_keeps_and_delivers_the_winner_as_a_file_does(server, store, tmp_path):
    run = run_with_verdict(store / "first")
    for _ in range(2):
        tracking.mirror(run)
    assert len(versions()) == 1
    assert fetch("models:/exp2-tiny@best", tmp_path / "there").file.read_bytes() == b"weights of unet-r4"


def test_a_server_that_is_down_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(RunError, match="does not answer"):
        fetch("models:/exp2-tiny@best", tmp_path)


def test_a_run_of_which_a_trial_failed_registers_nothing_until_it_is_mended(store):
    run = run_with_verdict(store / "run")
    failed = run.trial("unet-r8")
    failed.result.rename(store / "later.json")
    set_status(run, TrialSpec.of({"unet": 8}), "failed", error="no")
    tracking.mirror(run)
    assert versions() == []
    assert read_json(run.mirror)["registered"] == "nothing: 1 of 3 trials failed; resume tries them again"
    (store / "later.json").rename(failed.result)
    tracking.mirror(run)
    assert len(versions()) == 1


def test_a_best_that_another_process_sets_at_the_same_moment_is_no_trouble(store, monkeypatch):
    set_alias, calls = MlflowClient.set_registered_model_alias, []

    def beaten(self, *arguments):
        set_alias(self, *arguments)
        calls.append(arguments)
        raise MlflowException("UNIQUE constraint failed", error_code=BAD_REQUEST)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", beaten)
    tracking.mirror(run_with_verdict(store / "first"))
    assert best() == "first"
    assert len(calls) == 1
