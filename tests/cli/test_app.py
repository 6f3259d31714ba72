"""The command line as a user meets it: what is printed, and the exit code."""

import json
import sys
from importlib import metadata

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from fashion_sweep.cli.app import main
from fashion_sweep.config.loading import read_run_config
from fashion_sweep.data.catalogue import read_catalogue
from fashion_sweep.data.images import load_rgb
from fashion_sweep.data.split import evaluation_order
from fashion_sweep.data.transforms import centre_view
from fashion_sweep.metrics.evaluate import as_result, evaluate, real_statistics
from fashion_sweep.metrics.judge import Judge
from fashion_sweep.metrics.metric import RealImages, metrics_of
from fashion_sweep.metrics.networks import Clip
from fashion_sweep.metrics.prompts import prompt_groups
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json, write_json
from tests.conftest import noise_image
from tests.report.synthetic_run import make_run


@pytest.fixture
def command(monkeypatch, capsys):
    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fashion-sweep", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return ended.value.code or 0, captured.out, captured.err

    return call


@pytest.mark.parametrize("arguments", [["--help"], []])
def test_help_names_the_commands(command, arguments):
    code, out, _ = command(*arguments)
    assert code == 0
    assert all(name in out for name in ("run", "resume", "status", "report", "generate", "sync", "ui"))


def test_version_is_told(command):
    assert command("--version")[:2] == (0, f"fashion-sweep {metadata.version('fashion-sweep')}\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "exp22"], "unknown sweep 'exp22'; did you mean 'exp2'?"),
        (["run", "exp2", "--preset", "tny"], "unknown preset 'tny'; did you mean 'tiny'?"),
        (["run", "exp2", "--set", "training.stps=3"], "did you mean 'training.steps'?"),
        (["run", "exp2", "--set", "data.fashion.root=/nowhere"], "data folder /nowhere does not exist"),
        (["run", "exp2", "--preset", ""], "unknown preset ''; known: sd3, sdxl, tiny"),
        (["run", "exp2", "--adapters-from", ""], "the run is empty text; give a run folder"),
        (["generate", "--prompt", "a", "--adapter", ""], "--adapter: is empty; leave it out for the base model"),
        (["generate", "--prompt", "a", "--output", ""], "'--output': is empty"),
        (["run", "exp2", "--set", "data.fashion.root=~nosuchuser/x"], "~nosuchuser/x does not exist"),
        (["run", "exp2", "--set", "model.base=~nosuchuser/x"], "'~nosuchuser/x' is neither a folder nor a hub id"),
        (["run"], "Missing argument"),
        (["run", "exp2", "--nme", "x"], "No such option"),
        (["rnu"], "No such command"),
        (["report", "nothing", "nowhere"], "no run 'nothing'"),
        (["report", "nothing"], "no run 'nothing'"),
        (["resume", "nothing"], "no run 'nothing'"),
        (["status", "nothing"], "no run 'nothing'"),
        (["run", "exp4", "--adapters-from", "nothing"], "no run 'nothing'"),
        (["generate"], "Missing option '--prompt'"),
        (["generate", "--prompt", " "], "--prompt: is empty"),
        (["generate", "--prompt", "caf\udce9"], r"error: --prompt caf\xe9: is no UTF-8 text"),
        (["generate", "--prompt=caf\udce9"], r"error: --prompt=caf\xe9: is no UTF-8 text"),
        (["run", "exp\udcff2"], r"error: exp\xff2: is no UTF-8 text"),
        (["generate", "--prompt", "a dress", "--adapter", "models:/exp2-tiny@best"], "there is no MLflow store"),
    ],
)
def test_a_mistake_is_one_line_with_exit_code_2_and_leaves_nothing_behind(command, runs_root, arguments, said):
    code, out, err = command(*arguments)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert out == ""
    assert not list(runs_root.glob("*"))


def test_a_runs_folder_that_cannot_be_made_is_a_mistake_in_one_line(command, tmp_path, monkeypatch, fashion_root):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FASHION_SWEEP_RUNS", str(tmp_path / "file"))
    code, _, err = command(*clothing(fashion_root, "--set", "data.fashion.max_aspect_ratio=null"))
    assert code == 2
    assert err.count("\n") == 1
    assert str(tmp_path / "file") in err


@pytest.mark.parametrize(("given", "found"), [("first", True), ("gone", False)])
def test_resume_takes_adapters_from_where_the_run_took_them(command, runs_root, monkeypatch, given, found):
    make_run(runs_root / "first")
    run, called = make_run(runs_root / "mine"), []
    write_json(run.facts, read_json(run.facts) | {"adapters_from": given})
    monkeypatch.setattr("fashion_sweep.tasks.sweep.run_sweep", lambda *arguments: called.append(arguments) or True)
    code, out, _ = command("resume", "mine")
    assert code == 0
    ((_, paths, _, source),) = called
    assert paths.root == run.root
    assert source == (RunPaths(runs_root / "first") if found else None)
    assert ("gone is gone" in out) == (not found)


def clothing(fashion_root, *settings):
    return ["run", "exp2", "--name", "mine", "--set", f"data.fashion.root={fashion_root}", *settings]


def test_data_of_which_over_a_tenth_cannot_be_used_is_refused_and_listed(command, runs_root, fashion_root):
    captions = json.loads((fashion_root / "captions.json").read_text())
    (fashion_root / "captions.json").write_text(json.dumps(dict(list(captions.items())[:150])))
    (fashion_root / "images" / "MEN-000.jpg").write_bytes(b"broken")
    code, _, err = command(*clothing(fashion_root))
    assert code == 2
    assert "31 of 180 files cannot be used (30 image without caption, 1 unreadable or truncated)" in err
    listed = (runs_root / "fashion-data-problems.csv").read_text()
    assert "fashion,MEN-000.jpg,unreadable or truncated" in listed
    assert listed.count("image without caption") == 30
    assert not (runs_root / "mine").exists()


def test_a_filter_that_leaves_nothing_says_so(command, fashion_root):
    code, _, err = command(*clothing(fashion_root, "--set", "data.fashion.max_aspect_ratio=0.1"))
    assert code == 2
    assert "drops all 180 images" in err


def test_too_few_images_for_a_fid_are_refused(command, tmp_path):
    folder = tmp_path / "few"
    (folder / "images").mkdir(parents=True)
    for i in range(3):
        noise_image(60, 90, i).save(folder / "images" / f"{i}.jpg")
    (folder / "captions.json").write_text(json.dumps({f"{i}": "A shirt." for i in range(3)}))
    code, _, err = command(*clothing(folder))
    assert code == 2
    assert "3 images are too few for FID with the 64 features of tiny-clip" in err


def check_against_the_images(run):
    """Prompts, scores and metrics of the base model once more, from its features and the photographs themselves."""
    config, catalogue = read_run_config(run.config), read_catalogue(run.catalogue("fashion"))
    size, evaluation = config.preset.picture_size("fashion"), config.preset.evaluation
    path = run.trial("base-model").features("fashion")
    saved, order = load_file(path), evaluation_order(catalogue, config.preset.generation.seed)
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["prompts"]) == [record.name for record in order[:160]]
    metrics = metrics_of(config.sweep.metrics)
    judge = Judge(evaluation, metrics, "cpu")
    said = Clip(evaluation.clip_model, None, torch.device("cpu")).text_features([r.caption for r in order[:160]])
    scores = 100 * torch.nn.functional.cosine_similarity(saved["features"], said)
    assert torch.allclose(scores, saved["clip_scores"], atol=1e-3)
    pixels = np.stack([centre_view(load_rgb(record.path), size).pixels for record in order])
    reference = {"features": judge.features(torch.from_numpy(pixels).movedim(-1, 1), "features").numpy()}
    real = RealImages(reference, real_statistics(metrics, reference, evaluation))
    kept = {name: values.numpy() for name, values in saved.items()} | {"clip_scores": scores.numpy()}
    estimates = evaluate(metrics, kept, real, evaluation, prompt_groups([r.caption for r in order[:160]]))
    expected = as_result(metrics, estimates, real, evaluation)
    assert expected.pop("looks")["160"]["fid"] < expected["fid"]
    told = read_json(run.trial("base-model").result)["evaluations"]["fashion"]
    for name, value in expected.items():
        assert told[name] == (value if isinstance(value, str) else pytest.approx(value, rel=1e-3)), name


@pytest.mark.timeout(280)
@pytest.mark.xdist_group("ray")
def test_a_sweep_runs_from_photographs_to_report_and_a_second_run_does_nothing_again(command, runs_root, fashion_root):
    noise_image(90, 60).convert("CMYK").save(fashion_root / "images" / "MEN-001.jpg")
    settings = [
        "training.steps=4",
        "training.validation_every=2",
        "training.checkpoint_every=2",
        "training.views=1",
        "generation.num_inference_steps=5",
        "generation.refine_fraction=0.2",
        "evaluation.samples=160",
        "resources.workers_per_trial=2",
        "data.fashion.max_aspect_ratio=null",
        "generation.base_negative_prompt=null",
        "sweep.trials=[{unet: 1}, {}]",
    ]
    arguments = clothing(fashion_root, *(part for setting in settings for part in ("--set", setting)))
    code, out, err = command(*arguments)
    assert code == 0, err
    assert "preset tiny, sweep exp2" in out
    run = RunPaths(runs_root / "mine")
    results = json.loads(run.results.read_text())
    assert [trial["state"] for trial in results["trials"]] == ["done", "done"]
    tuned, base = results["trials"]
    assert tuned["parameters"] > 0 == base["parameters"]
    assert tuned["evaluations"]["fashion"]["samples"] == 160
    assert run.trial("unet-r1").adapter.exists()
    first, second = (load_file(run.trial(name).features("fashion")) for name in ("unet-r1", "base-model"))
    assert not torch.equal(first["features"], second["features"])  # judged with its adapter, for all else is the same
    check_against_the_images(run)
    assert run.report.exists()
    assert run.grid.exists()
    before = {path: path.stat().st_mtime_ns for path in run.root.glob("trials/*/*")}
    assert command(*arguments)[0] == 0
    assert command("resume", "mine")[0] == 0
    assert {path: path.stat().st_mtime_ns for path in run.root.glob("trials/*/*")} == before
    code, out, _ = command("status", "mine")
    assert code == 0
    assert f"2 done; report: {run.page}" in out
