"""`export`: what it writes beside the adapter, which trial it takes, and every mistake in asking for it."""

import json
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from fashion_sweep.adapters import attaching
from fashion_sweep.adapters.formats import read_metadata
from fashion_sweep.adapters.metadata import own_keys
from fashion_sweep.cli.app import app
from fashion_sweep.config.loading import read_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue, Record, write_catalogue
from fashion_sweep.errors import FashionSweepError
from fashion_sweep.handover.export import ExportRequest, export
from fashion_sweep.models.sdxl.model import SDXLModel
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import write_json, write_text
from tests.report.synthetic_run import finish_trial, judgement, make_run

MIXED = TrialSpec.of({"unet": 2, "text_encoders": 1})
SENTENCE = "UNet rank 2 with text encoders is the smallest that is as good as the best."


@pytest.fixture(scope="module")
def weights(config, tmp_path_factory):
    model = SDXLModel.load(config.preset.model, "cpu")
    attaching.attach(model.components, MIXED, config.preset.training, seed=0)
    path = tmp_path_factory.mktemp("weights") / "adapter.safetensors"
    attaching.save(path, model.components, MIXED, own_keys(config, MIXED, "elsewhere"))
    return path.read_bytes()


@pytest.fixture
def run(runs_root, weights) -> RunPaths:
    """Three trials: the best one with an adapter, one without a file, and the base model."""
    run = make_run(runs_root / "first", settings=["sweep.trials=[{unet: 0}, {unet: 2, text_encoders: 1}, {unet: 4}]"])
    for spec, fid in ((TrialSpec.of({"unet": 0}), 18.1), (MIXED, 7.123), (TrialSpec.of({"unet": 4}), 8.0)):
        finish_trial(run, spec, 9216, {"fashion": judgement(fid, 22.52)})
        run.trial(spec.trial_id).adapter.unlink()
    run.trial(MIXED.trial_id).adapter.write_bytes(weights)
    decide(run, MIXED)
    record = Record("a", Path("a"), "A shirt.", width=300, height=400)
    write_catalogue(run.catalogue("fashion"), Catalogue((record,), 0, ()))
    return run


def decide(run: RunPaths, best: TrialSpec) -> None:
    estimates = {best.title: {"fid": {"value": 6.54, "low": 6, "high": 7}}}
    verdict = {"chosen": best.title, "best": best.title, "best_trial": best.trial_id, "sentence": SENTENCE}
    write_json(run.results, {"verdicts": {"fashion": verdict | {"estimates": estimates}}})


@pytest.mark.parametrize(
    ("to", "files"),
    [
        ("diffusers", ["pytorch_lora_weights.safetensors"]),
        ("kohya", [f"first-{MIXED.trial_id}.safetensors"]),
        ("peft", [f"{part}/adapter_{file}" for part in ("text_encoder", "text_encoder_2", "unet")
                  for file in ("config.json", "model.safetensors")]),
    ],
)  # fmt: skip
def test_the_best_trial_is_exported_with_a_card_and_every_file_tells_what_it_is(run, to, files):
    written = export(ExportRequest(run, to))
    folder = run.exports / f"{MIXED.trial_id}-{to}"
    assert [path.relative_to(folder).as_posix() for path in written] == ["README.md", *files]
    for path in folder.rglob("*.safetensors"):
        said = read_metadata(path)
        metrics = json.loads(said["fashion_sweep.metrics"])["fashion"]
        assert {key: metrics[key] for key in ("fid", "features", "samples", "clip_score", "fid_corrected")} == {
            "fid": 7.123,
            "features": "tiny-clip",
            "samples": 256,
            "clip_score": 22.52,
            "fid_corrected": 6.54,
        }
        keys = ("run", "trial", "base_model", "lora_alpha", "trigger_words", "original_size")
        assert [said[f"fashion_sweep.{key}"] for key in keys] == [
            "first", MIXED.trial_id, "embedded:base", "1", "[]", "400x300"
        ]  # fmt: skip
        assert said["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
        assert ("ss_network_alpha" in said) == (to == "kohya")
    text = (folder / "README.md").read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert (front["base_model"], front["library_name"]) == ("embedded:base", "diffusers")
    assert {"lora", "text-to-image"} <= set(front["tags"])
    assert SENTENCE in text
    assert (
        "| fashion (what it was trained on) | 7.12 | 6.54 | 1.2 | 22.52 | – | – | tiny-clip | embedded:clip | 256 |"
        in text
    )


def test_the_diffusers_export_holds_the_trained_tensors_as_they_are(run):
    export(ExportRequest(run, "diffusers"))
    ours = load_file(run.trial(MIXED.trial_id).adapter)
    theirs = load_file(run.exports / f"{MIXED.trial_id}-diffusers" / "pytorch_lora_weights.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(ours[name].equal(theirs[name]) for name in ours)


def test_trigger_words_and_the_hub_id_of_the_base_are_told_where_they_are_given(run, tmp_path):
    words, base = ("sks", "ukj"), "stabilityai/stable-diffusion-xl-base-1.0"
    export(ExportRequest(run, "kohya", MIXED.trial_id, tmp_path / "out", words, base))
    said = read_metadata(tmp_path / "out" / f"first-{MIXED.trial_id}.safetensors")
    assert (json.loads(said["fashion_sweep.trigger_words"]), said["modelspec.trigger_phrase"]) == (
        list(words),
        "sks, ukj",
    )
    assert said["fashion_sweep.base_model"] == said["ss_sd_model_name"] == base
    text = (tmp_path / "out" / "README.md").read_text()
    assert yaml.safe_load(text.split("---")[1])["instance_prompt"] == "sks, ukj"
    assert f'from_pretrained("{base}", ' in text


@pytest.mark.parametrize("to", ["diffusers", "kohya", "peft"])
def test_the_python_on_the_card_draws_an_image(run, to, monkeypatch):
    folder = export(ExportRequest(run, to))[0].parent
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(folder)
    names: dict = {}
    exec(compile(code, "card", "exec"), names)
    assert names["image"].size == (48, 64)


def test_what_is_there_already_is_kept(run, tmp_path):
    first = export(ExportRequest(run, "kohya"))
    before = {path: path.read_bytes() for path in first}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for output in (None, tmp_path / "mine", tmp_path / "file"):
        with pytest.raises(FashionSweepError, match="exists already"):
            export(ExportRequest(run, "kohya", output=output))
    assert {path: path.read_bytes() for path in run.exports.rglob("*") if path.is_file()} == before
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["note"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_layer_that_the_format_cannot_name_leaves_nothing_half_written(run, config):
    model = SDXLModel.load(config.preset.model, "cpu")
    training = config.preset.training.model_copy(update={"target_modules": ("q_proj", "text_projection")})
    spec = TrialSpec.of({"text_encoder_2": 1})
    attaching.attach(model.components, spec, training, seed=0)
    attaching.save(run.trial(MIXED.trial_id).adapter, model.components, spec)
    with pytest.raises(FashionSweepError, match=r"has no name for the layer text_encoder_2\.text_projection"):
        export(ExportRequest(run, "kohya"))
    assert not list(run.exports.iterdir())
    assert export(ExportRequest(run, "peft"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "onnx"}, "--format 'onnx': must be one of diffusers, peft, kohya"),
        ({"trial": "unet-r5"}, "--trial 'unet-r5': is no trial of first; did you mean 'unet-r4'?"),
        ({"trial": "base-model"}, "base-model of first has no adapter"),
        ({"trial": "unet-r4"}, "unet-r4 of first has no adapter"),
    ],
)
def test_a_mistake_is_one_line(run, change, said):
    with pytest.raises(FashionSweepError) as caught:
        export(ExportRequest(**({"run": run, "format": "kohya"} | change)))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not run.exports.exists()


def test_a_run_whose_best_is_the_base_model_or_without_verdict_or_with_a_damaged_file_says_so(run):
    decide(run, TrialSpec.of({"unet": 0}))
    with pytest.raises(FashionSweepError, match="base-model of first has no adapter; name another trial"):
        export(ExportRequest(run, "peft"))
    write_json(run.results, {"verdicts": {}})
    with pytest.raises(FashionSweepError, match="has come to no verdict; name a trial with --trial"):
        export(ExportRequest(run, "peft"))
    write_text(run.trial(MIXED.trial_id).adapter, "cut")
    with pytest.raises(FashionSweepError, match="is damaged"):
        export(ExportRequest(run, "peft", MIXED.trial_id))


def test_a_trial_that_was_not_judged_is_exported_without_numbers(run):
    run.trial(MIXED.trial_id).result.unlink()
    run.results.unlink()
    (card, *_) = export(ExportRequest(run, "kohya", MIXED.trial_id))
    assert "Not judged." in card.read_text()
    assert "came to no verdict" in card.read_text()


def test_the_command_prints_what_it_wrote(run, tmp_path, capsys):
    app(["export", "first", "--format", "kohya", "--output", str(tmp_path / "out")], standalone_mode=False)
    printed = capsys.readouterr().out.split()
    assert printed == [str(path) for path in sorted((tmp_path / "out").iterdir())]
    assert read_run_config(run.config).sweep.name == "exp2"
