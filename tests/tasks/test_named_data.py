"""A data set that the presets do not know, under a name of its own, from its folder to the report."""

import json

import pytest
from safetensors.torch import load_file

from fashion_sweep.cluster.worker import Worker
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.encodings.encoders import forget_models
from fashion_sweep.encodings.prepare import make_shard, missing_shards, write_references
from fashion_sweep.handover.export import ExportRequest, export
from fashion_sweep.planning.plan import specs_of
from fashion_sweep.report.page import write_report
from fashion_sweep.run.paths import RunPaths
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


def test_a_set_called_shoes_is_trained_judged_reported_and_exported(shoes, runs_root):
    config, run = load_run_config("exp2", "tiny", [*shoes, *QUICK]), RunPaths(runs_root / "mine")
    check_config(config)
    run.config.parent.mkdir(parents=True)
    run.config.write_text(config.to_yaml(), encoding="utf-8")
    _write_inputs(run, config, {name: CATALOGUE.open(name, config, run) for name in config.data_sets})
    for shard in missing_shards(run, specs_of(config)):
        make_shard(shard)
    forget_models()
    write_references(run)
    for spec in specs_of(config):
        run_trial(run, spec.trial_id, Worker(0, 1, "cpu", lambda: None, lambda values: None))
    write_report(run)
    judged = [read_json(run.trial(name).result)["evaluations"] for name in ("base-model", "unet-r1")]
    assert [(list(sets), sets["shoes"]["samples"]) for sets in judged] == [(["shoes"], 160)] * 2
    assert judged[0]["shoes"]["fid"] != judged[1]["shoes"]["fid"]
    assert load_file(run.trial("unet-r1").features("shoes"))["features"].shape == (160, 64)
    assert list(read_json(run.results)["verdicts"]) == ["shoes"]
    files = export(ExportRequest(run, "diffusers", trial="unet-r1"))
    assert "| shoes (what it was trained on) |" in next(f for f in files if f.suffix == ".md").read_text()
    assert {path.name for path in run.data.iterdir()} >= {"shoes.json", "reference-shoes.safetensors"}
    assert not [path for path in runs_root.rglob("*") if "fashion" in path.name]
