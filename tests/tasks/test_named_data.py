"""A data set that the presets do not know, under a name of its own, from its folder to the report."""

import json
from dataclasses import replace

import pytest
from safetensors.torch import load_file

from fashion_sweep.cli.options import existing_run
from fashion_sweep.cluster.worker import Worker
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.encodings.prepare import make_shard, missing_shards
from fashion_sweep.encodings.real_images import write_real_statistics
from fashion_sweep.handover.export import ExportRequest, export
from fashion_sweep.models.loaded import forget_models
from fashion_sweep.planning.plan import specs_of
from fashion_sweep.report.page import write_report
from fashion_sweep.run.claim import claimed
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.run.stage_inputs import fetch_for_trial
from fashion_sweep.storage import lease
from fashion_sweep.storage.files import read_json
from fashion_sweep.tasks.catalogue.task import CATALOGUE
from fashion_sweep.tasks.preflight import check_config
from fashion_sweep.tasks.sweep import _write_inputs, run_trial
from tests.conftest import noise_image

QUICK = ["training.steps=2", "training.views=1", "generation.num_inference_steps=2", "generation.refine_fraction=0"]
QUICK += ["evaluation.samples=160", "sweep.trials=[{}, {unet: 1}]", "sweep.sample_prompts=[]"]


@pytest.fixture
def shoes(tmp_path):
    """164 images with a caption beside each, and 16 in `metadata.jsonl`."""
    root = tmp_path / "photos"
    (root / "boots").mkdir(parents=True)
    for i in range(180):
        noise_image(60, 90, i).save(root / "boots" / f"{i:03d}.jpg")
        if i >= 16:
            (root / "boots" / f"{i:03d}.txt").write_text(f"A boot, number {i % 7}.", encoding="utf-8")
    rows = [json.dumps({"file_name": f"boots/{i:03d}.jpg", "text": "A boot of leather."}) for i in range(16)]
    (root / "metadata.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return [f"data.shoes.root={root}", "data.shoes.layout=folder", "training.data_set=shoes", "sweep.judge=[shoes]"]


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Moves on to another node that has nothing yet, and the runs folder in object storage."""
    monkeypatch.setenv("FASHION_SWEEP_RUNS", f"file://{tmp_path}/bucket/runs")
    monkeypatch.setattr(lease, "SETTLE_S", 0.0)

    def move(name):
        monkeypatch.setenv("FASHION_SWEEP_SCRATCH", str(tmp_path / name))
        return RunPaths(runs_root() / "mine")

    return move


def test_a_set_called_shoes_is_trained_judged_reported_and_exported_each_on_a_node_of_its_own(shoes, node, tmp_path):
    config, run = load_run_config("exp2", "tiny", [*shoes, *QUICK]), node("driver")
    check_config(config)
    with claimed(run, config):
        _write_inputs(run, config, {name: CATALOGUE.open(name, config, run) for name in config.data_sets})
    shards = missing_shards(run, specs_of(config))
    run = node("encoding")
    for shard in shards:
        make_shard(replace(shard, run=run))
    forget_models()
    write_real_statistics(node("driver"))
    for spec in specs_of(config):
        run = node(spec.trial_id)
        fetch_for_trial(run, run.trial(spec.trial_id))
        run_trial(run, spec.trial_id, Worker(0, 1, "cpu", lambda: None, lambda values: None))
    run = existing_run(node("reporting").name)
    write_report(run)
    judged = [read_json(run.trial(name).result)["evaluations"] for name in ("base-model", "unet-r1")]
    assert [(list(sets), sets["shoes"]["samples"]) for sets in judged] == [(["shoes"], 160)] * 2
    assert judged[0]["shoes"]["fid"] != judged[1]["shoes"]["fid"]
    assert load_file(run.trial("unet-r1").features("shoes"))["features"].shape == (160, 64)
    assert list(read_json(run.results)["verdicts"]) == ["shoes"]
    files = export(ExportRequest(existing_run(node("export").name), "diffusers", trial="unet-r1"))
    assert "| shoes (what it was trained on) |" in next(f for f in files if f.suffix == ".md").read_text()
    assert {path.name for path in run.data.iterdir()} >= {"shoes.json", "reference-shoes.safetensors"}
    stored = {path.name for path in (tmp_path / "bucket").rglob("*")} - {".fashion_sweep"}
    assert not [name for name in stored if "fashion" in name]
