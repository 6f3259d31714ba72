"""Two garments of the embedded world, trained for moments: what a trial leaves, and what is made of it."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from fashion_sweep.cluster.worker import Worker
from fashion_sweep.config.loading import load_preset
from fashion_sweep.config.trial_spec import BASE_MODEL
from fashion_sweep.data.garment import keep_photos, read_garments
from fashion_sweep.encodings.prepare import make_shard, missing_shards
from fashion_sweep.handover.export import ExportRequest, export
from fashion_sweep.models.loaded import forget_models
from fashion_sweep.planning.plan import specs_of
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.tasks.garment.judgement import _judged, closest, judge_garments, overall
from fashion_sweep.tasks.garment.recipe import PHOTOS, garment_config, open_garments
from fashion_sweep.tasks.garment.report import answer, write_garment_report
from fashion_sweep.tasks.sweep import _write_inputs, run_trial
from fashion_sweep.tiny import pictures
from fashion_sweep.tiny.wardrobe import dress_up
from fashion_sweep.tracking import mirror as tracking
from fashion_sweep.tracking.store import client
from fashion_sweep.tracking.views import CHARTS
from tests.tracking.test_views import view

QUICK = ["garment.training.steps=30", "garment.training.views=4", "garment.training.validation_every=15"]
QUICK += ["garment.seeds=2", "generation.num_inference_steps=5", "generation.refine_fraction=0.2"]
QUICK += ["generation.batch_size=2"]
PROMPTS = 2


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("garments")
    outfit = dress_up(np.random.default_rng(5))
    for name, colour in (("blue", "blue"), ("yellow", "yellow")):
        top = replace(outfit.top, kind="sweater", color=colour, pattern="pure color")
        dressed = replace(outfit, top=top)
        figure = pictures._figure(np.random.default_rng(5), pictures.PORTRAIT_FILE, dressed, photograph=True)
        figure.save(folder / f"{name}.png")
    garments = read_garments([str(folder)], "sweater", "colour", None)
    config, run = garment_config(load_preset("tiny", QUICK), garments), RunPaths(folder / "runs" / "mine")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FASHION_SWEEP_RUNS", str(folder / "runs"))
        catalogue = keep_photos(open_garments(config, run), run.photos)
        run.config.parent.mkdir(parents=True, exist_ok=True)
        run.config.write_text(config.to_yaml())
        _write_inputs(run, config, {PHOTOS: catalogue})
        for shard in missing_shards(run, specs_of(config)):
            make_shard(shard)
        forget_models()
        for spec in specs_of(config):
            work(run, spec.trial_id)
        write_garment_report(run)
        yield run, config


def work(run, trial_id):
    run_trial(run, trial_id, Worker(0, 1, "cpu", lambda: None, lambda values: None))


def test_each_garment_is_a_trial_with_an_adapter_of_its_own(run):
    paths, config = run
    assert [spec.trial_id for spec in specs_of(config)] == ["blue", "yellow", "base-model"]
    blue, yellow = (paths.trial(name).adapter.read_bytes() for name in ("blue", "yellow"))
    assert blue != yellow
    with safe_open(paths.trial("blue").adapter, "np") as file:
        said = file.metadata()
    assert json.loads(said["fashion_sweep.trigger_words"]) == ["sks", "ukj"]
    assert said["fashion_sweep.original_size"] == "64x48"


def test_every_picture_is_compared_with_every_garment_s_photo(run):
    paths, _ = run
    found = json.loads(paths.trial("blue").closeness.read_text())["pictures"]
    assert [(one["number"], one["seed"]) for one in found] == [(n, s) for n in range(PROMPTS) for s in range(2)]
    assert all(set(one["closeness"]) == {"blue", "yellow"} for one in found)
    assert "a woman wearing an sks sweater with ukj colour." in found[0]["prompt"]
    assert Image.open(paths.trial("blue").pictures / found[0]["file"]).size == (48, 64)


def test_the_garment_is_drawn_closer_to_its_own_photo_than_the_base_model_draws_it(run):
    judged = judge_garments(*run)
    assert np.mean([one.gain.value for one in judged]) > 0
    found = overall(run[0], judge_garments(*run))
    assert found.adapters.value > found.chance
    assert found.base.value == found.chance  # of the same prompts, each picture is closest to one of two


def test_the_answer_tells_whether_adapters_help_and_which_are_not_shown_to(run):
    pairs = []
    for name in ("blue", "yellow"):
        own, base = (
            json.loads(run[0].trial(trial).closeness.read_text())["pictures"] for trial in (name, "base-model")
        )
        without = {(one["prompt"], one["seed"]): one for one in base}
        for one in own:
            right = [closest(p["closeness"], name) == name for p in (one, without[one["prompt"], one["seed"]])]
            pairs.append(float(right[0]) - float(right[1]))
    more = overall(run[0], judge_garments(*run)).more
    assert more.value == pytest.approx(np.mean(pairs))
    found = answer(run[0], judge_garments(*run))
    said = f"{found.headline} {found.paragraph}"
    assert ("are shown to help" in said) == (more.low > 0)
    for one in judge_garments(*run):
        assert (f"{one.garment} ({one.gain.value:+.1f})" in said) == (one.gain.low <= 0)


def test_the_result_tells_what_was_measured_by_seed(run):
    paths, _ = run
    told = json.loads(paths.trial("yellow").result.read_text())
    assert told["parameters"] > 0
    assert set(told["garment"]["closeness_by_seed"]) == {"0", "1"}
    assert told["garment"]["closeness"] == pytest.approx(np.mean([*told["garment"]["closeness_by_seed"].values()]))
    assert "garment" not in json.loads(paths.trial("base-model").result.read_text())


def test_pictures_that_are_there_are_not_drawn_again(run, monkeypatch):
    paths, _ = run
    monkeypatch.setenv("FASHION_SWEEP_RUNS", str(paths.root.parent))
    trial = paths.trial("blue")
    before = {path: path.stat().st_mtime_ns for path in trial.pictures.iterdir()}
    lost = trial.pictures / "01-seed001.png"
    known = lost.read_bytes()
    lost.unlink()
    trial.result.unlink()
    trial.closeness.unlink()
    work(paths, "blue")
    assert lost.read_bytes() == known
    whole = [path for path in before if path.name.startswith("00-")]  # a batch is drawn as one
    assert [path.stat().st_mtime_ns for path in whole] == [before[path] for path in whole]


def test_the_report_has_a_sheet_of_each_garment_and_a_line_of_each_picture(run):
    paths, _ = run
    for name in ("blue", "yellow"):
        sheet, regions = (np.asarray(Image.open(one)) for one in (paths.trial(name).sheet, paths.trial(name).regions))
        assert sheet.shape == regions.shape
        assert regions.mean() > sheet.mean() + 10  # faded
    rows = list(csv.DictReader(paths.table.open()))
    assert len(rows) == 2 * PROMPTS * 2
    scores = [float(row["score"]) for row in rows if row["garment"] == "blue"]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < float(row["region_share"]) <= 1 for row in rows)
    assert "by chance it would be 50%" in paths.report.read_text()


def test_an_export_has_the_words_and_the_size_that_the_adapter_was_trained_with(run):
    paths, _ = run
    files = export(ExportRequest(paths, "diffusers", "blue"))
    with safe_open(next(path for path in files if path.suffix == ".safetensors"), "np") as file:
        said = file.metadata()
    assert json.loads(said["fashion_sweep.trigger_words"]) == ["sks", "ukj"]
    assert said["fashion_sweep.original_size"] == "64x48"
    card = next(path for path in files if path.name == "README.md").read_text()
    assert 'as in "Photo of a sks sweater with ukj colour"' in card
    closeness = json.loads(paths.trial("blue").result.read_text())["garment"]["closeness"]
    assert f"score {closeness:.2f} of 100" in card
    assert "verdict" not in card


def test_of_a_single_garment_no_share_of_recognised_pictures_is_told(run):
    paths, _ = run
    found = json.loads(paths.trial("blue").closeness.read_text())["pictures"]
    alone = [one | {"closeness": {"blue": one["closeness"]["blue"]}} for one in found]
    assert _judged("blue", alone, alone).identified is None


def test_of_a_single_garment_the_answer_is_what_it_gained_over_the_base_model(run, tmp_path):
    paths, config = run
    shutil.copytree(paths.root, tmp_path / "run")
    one = config.model_copy(update={"sweep": config.sweep.model_copy(update={"garments": config.sweep.garments[:1]})})
    name = one.sweep.garments[0].name
    for trial in (name, BASE_MODEL):
        file = RunPaths(tmp_path / "run").trial(trial).closeness
        found = json.loads(file.read_text())["pictures"]
        only = [picture | {"closeness": {name: picture["closeness"][name]}} for picture in found]
        file.write_text(json.dumps({"pictures": only}))
    (judged,) = judge_garments(RunPaths(tmp_path / "run"), one)
    assert f"{judged.gain.value:+.1f} (" in answer(RunPaths(tmp_path / "run"), [judged]).headline


def test_mlflow_has_a_run_a_garment_and_the_registry_its_adapter_with_its_words(run, tmp_path, monkeypatch):
    paths, _ = run
    monkeypatch.setenv("FASHION_SWEEP_RUNS", str(paths.root.parent))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    for _ in range(2):
        tracking.mirror(paths)
    asked = client(f"sqlite:///{tmp_path}/mlflow.db")
    found = asked.search_runs([asked.get_experiment_by_name("garment/tiny").experiment_id])
    by_trial = {one.data.tags.get("trial_id", "parent"): one for one in found}
    assert sorted(by_trial) == ["base-model", "blue", "parent", "yellow"]
    told = json.loads(paths.trial("blue").result.read_text())["garment"]
    assert by_trial["blue"].data.metrics["closeness"] == pytest.approx(told["closeness"])
    charts = view(CHARTS, "garment/tiny", asked)[1]["compareRunCharts"]
    drawn = [card["metricKey"] for card in charts if card["type"] == "BAR"]
    assert drawn == ["closeness", "identified", "colour_delta_e"]
    assert set(drawn) <= set(by_trial["blue"].data.metrics)
    artifacts = {one.path for one in asked.list_artifacts(by_trial["blue"].info.run_id)}
    assert artifacts >= {"adapter", "blue.png", "contact-sheet.png", "closeness.json", "config.yaml"}
    for name in ("blue", "yellow"):
        (version,) = asked.search_model_versions(f"name='{name}'")
        assert version.tags["trigger_words"] == "sks sweater, ukj colour"
        assert version.run_id == by_trial[name].info.run_id
