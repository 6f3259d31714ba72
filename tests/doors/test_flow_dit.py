"""A base model from another package goes all the way of a run, and nothing of this package is different for it."""

import io

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file

from fashion_sweep.cluster.worker import Worker
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.encodings.prepare import make_shard, missing_shards
from fashion_sweep.encodings.real_images import write_real_statistics
from fashion_sweep.errors import ConfigError
from fashion_sweep.handover.export import ExportRequest, export
from fashion_sweep.models.loaded import forget_models
from fashion_sweep.models.registry import load_model
from fashion_sweep.planning.plan import plan, resolved, specs_of
from fashion_sweep.rehearsal.rehearse import rehearse
from fashion_sweep.rehearsal.setting import RehearsalOptions
from fashion_sweep.report.page import write_report
from fashion_sweep.run.claim import claimed
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json
from fashion_sweep.tasks.catalogue.task import CATALOGUE
from fashion_sweep.tasks.preflight import check_config
from fashion_sweep.tasks.sweep import _write_inputs, run_trial

pytestmark = pytest.mark.usefixtures("_flow_dit_installed")
SETTINGS = [
    "model={architecture: flow-dit, base: 'random:1', dtype: float32}",
    "sweep.trials=[{}, {transformer: 2}, {reader: {kind: dora, rank: 1}}]",
    "sweep.sample_prompts=[{prompt: A red shirt., seed: 0}]",
    "data.fashion.rendered_images=240",
    "training.steps=8",
    "training.snr_gamma=null",
    "training.checkpoint_every=2",
    "training.validation_every=2",
    "generation.num_inference_steps=3",
    "evaluation.samples=160",
]


def settings_of(*more):
    return load_run_config("exp2", "tiny", [*SETTINGS, *more])


def work(run, trial_id, report=lambda values: None):
    run_trial(run, trial_id, Worker(0, 1, "cpu", lambda: None, report))


def prepare(run, config):
    """Opens the data of a run, and fills its cache."""
    check_config(config)
    with claimed(run, config):
        _write_inputs(run, config, {name: CATALOGUE.open(name, config, run) for name in config.data_sets})
    for shard in missing_shards(run, specs_of(config)):
        make_shard(shard)
    forget_models()
    write_real_statistics(run)


@pytest.fixture(scope="module")
def run(tmp_path_factory, put_world, _flow_dit_installed):
    """Of three trials, each trained and judged; that of the transformer was interrupted at the sixth of eight steps."""
    runs, config = tmp_path_factory.mktemp("runs"), settings_of()
    run = RunPaths(runs / "mine")
    put_world(runs, 240)

    def stop(values):
        if values["step"] == 6:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FASHION_SWEEP_RUNS", str(runs))
        prepare(run, config)
        with pytest.raises(KeyboardInterrupt):
            work(run, "transformer-r2", stop)
        assert not run.trial("transformer-r2").adapter.exists()
        for spec in specs_of(config):
            work(run, spec.trial_id)
        write_report(run)
    return run


def test_its_adapters_are_counted_by_its_own_layers():
    sizes = {trial.trial_id: trial.parameters for trial in plan(resolved(settings_of()))}
    blocks, projections, width = 2, 4, 32
    assert sizes == {
        "base-model": 0,
        "transformer-r2": blocks * projections * 2 * (width + width),
        "reader-dora-r1": blocks * projections * (width + width + width),
    }


def test_a_part_that_it_lacks_is_told_with_those_that_it_has():
    with pytest.raises(ConfigError, match=r"'unet' is no part of this model.*transformer"):
        settings_of("sweep.trials=[{unet: 1}]")


def test_its_own_settings_are_checked_as_those_of_any_preset():
    assert settings_of("model.shift=3").preset.model.shift == 3
    with pytest.raises(ConfigError, match=r"model\.shift"):
        settings_of("model.shift=-1")
    with pytest.raises(ConfigError, match=r"model\.refiner"):
        settings_of("model.refiner=embedded:refiner")


def test_it_is_trained_judged_and_reported(run):
    values = {name: read_json(run.trial(name).result) for name in ("base-model", "transformer-r2", "reader-dora-r1")}
    fids = [value["evaluations"]["fashion"]["fid"] for value in values.values()]
    assert len(set(fids)) == 3
    assert [value["parameters"] for value in values.values()] == [0, 1024, 768]
    assert "transformer rank 2" in run.report.read_text()
    assert read_json(run.results)["verdicts"]["fashion"]["images_drawn"] == 3 * 160


def test_an_interrupted_trial_ends_with_the_adapter_of_one_that_was_not(run, tmp_path):
    again, config = RunPaths(tmp_path / "again"), settings_of("sweep.trials=[{transformer: 2}]")
    prepare(again, config)
    work(again, "transformer-r2")
    interrupted, whole = (load_file(one.trial("transformer-r2").adapter) for one in (run, again))
    assert interrupted.keys() == whole.keys()
    assert all(np.array_equal(interrupted[name], whole[name]) for name in whole)
    assert any(np.abs(tensor).max() > 0 for name, tensor in whole.items() if "lora_B" in name)


def test_peft_reads_its_adapter(run, tmp_path):
    from peft import PeftModel

    export(ExportRequest(run, "peft", trial="reader-dora-r1", output=tmp_path / "peft"))
    module = load_model(settings_of().preset.model, "cpu").components["reader"]
    adapted = PeftModel.from_pretrained(module, str(tmp_path / "peft" / "reader"))
    assert sum(weights.numel() for name, weights in adapted.named_parameters() if "lora_" in name) == 768


def test_its_card_tells_of_no_other_model_s_ways(run, tmp_path):
    export(ExportRequest(run, "diffusers", trial="transformer-r2", output=tmp_path / "out"))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "Judged with Euler, 3 steps" in card
    assert not {word for word in ("XL", "original_size", "refiner", "DDIM") if word in card}


def test_a_format_that_names_layers_of_another_architecture_is_refused(run):
    with pytest.raises(
        ConfigError, match="--format kohya: has no names for layers of flow-dit; take --format diffusers"
    ):
        export(ExportRequest(run, "kohya", trial="transformer-r2"))


def test_it_is_rehearsed_in_the_formats_that_it_has(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = rehearse(settings_of(), RehearsalOptions(), Console(file=io.StringIO()))
    assert outcome.parameters == {"base-model": 0, "transformer-r2": 1024, "reader-dora-r1": 768}
    assert outcome.here.hours > 0
    assert outcome.pace.images["fashion"].second_step == 0
