"""A sweep over a small Stable Diffusion 3 goes all the way of a run."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fashion_sweep.cluster.worker import Worker
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import read_catalogue
from fashion_sweep.encodings.caches import read_caches
from fashion_sweep.handover.export import ExportRequest, export
from fashion_sweep.metrics.evaluate import evaluate
from fashion_sweep.models.architecture import Example
from fashion_sweep.models.model import GenerationRequest
from fashion_sweep.models.sd3.architecture import SD3
from fashion_sweep.models.sd3.model import SD3Model
from fashion_sweep.run.events import Observer
from fashion_sweep.run.paths import RunPaths, TrialPaths
from fashion_sweep.storage.files import read_json
from fashion_sweep.tasks.preflight import check_config
from fashion_sweep.tasks.trial_worker import TrialWorker
from fashion_sweep.training.adapt import Adaptation
from tests.tasks.prepared import finished_run

TRIALS = ("base-model", "transformer-r2", "transformer.attn-r1-text_encoders-r1")

OF_NOTHING = "transformer_blocks.1.attn.add_q_proj"
"""The last block's text stream asks, and nobody takes the answer."""


@pytest.fixture(scope="module")
def config(base):
    model = f"{{architecture: sd3, base: '{base}', dtype: float32, attention: sdpa, max_sequence_length: 12}}"
    settings = [
        f"model={model}",
        "sweep.trials=[{}, {denoiser: 2}, {denoiser.attn: 1, text_encoders: 1}]",
        "sweep.sample_prompts=[{prompt: A red shirt., seed: 0}]",
        "data.fashion.rendered_images=200",
        "training.steps=4",
        "training.snr_gamma=null",
        "training.views=1",
        "training.validation_every=2",
        "training.checkpoint_every=2",
        "generation.num_inference_steps=2",
        "generation.refine_fraction=0",
        "evaluation.samples=160",
    ]
    return load_run_config("exp2", "tiny", settings)


@pytest.fixture(scope="module")
def run(config, tmp_path_factory, put_world):
    check_config(config)
    runs = tmp_path_factory.mktemp("runs")
    put_world(runs, 200)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FASHION_SWEEP_RUNS", str(runs))
        return finished_run("small", config)


def test_every_trial_is_trained_judged_and_reported(run):
    values = {name: read_json(run.trial(name).result) for name in TRIALS}
    fids = [value["evaluations"]["fashion"]["fid"] for value in values.values()]
    assert len(set(fids)) == 3
    for name in TRIALS[1:]:
        tensors = load_file(run.trial(name).adapter).items()
        moved = [tensor for key, tensor in tensors if "lora_B" in key and OF_NOTHING not in key]
        assert moved
        assert all(tensor.abs().max() > 0 for tensor in moved), name
    assert "transformer rank 2" in run.report.read_text()


def test_captions_are_kept_with_what_t5_says_of_them(run, config, monkeypatch):
    monkeypatch.setenv("FASHION_SWEEP_RUNS", str(run.root.parent))
    captions = read_caches(run).captions
    assert captions is not None
    row = {name: captions.row(name, 0) for name in ("clip", "pooled", "t5")}
    assert {name: tuple(values.shape) for name, values in row.items()} == {
        "clip": (77, 36),
        "pooled": (36,),
        "t5": (12, 48),
    }
    size = sum(values.numel() * values.element_size() for values in row.values())
    assert size == config.architecture.caption_bytes(config.preset.model)


def test_t5_does_not_lie_beside_the_steps_of_a_trial_whose_captions_come_from_the_cache(
    run, config, tmp_path, monkeypatch
):
    monkeypatch.setenv("FASHION_SWEEP_RUNS", str(run.root.parent))
    caches, catalogue = read_caches(run), read_catalogue(run.catalogue("fashion"))
    dropping = config.preset.training.model_copy(update={"proportion_empty_prompts": 0.5})
    training, seen = caches.training(dropping), []
    model = SD3Model.load(config.preset.model, "cpu")
    model.encode_text(["A shirt."])

    class Watch(Observer):
        def step(self, values):
            seen.append(model.pipeline.text_encoder_3 is not None)

    spec, images = TrialSpec.of({"transformer": 1}, "sd3"), caches.images
    for captions in (caches.captions, None):
        seen.clear()
        adaptation = Adaptation(spec, training, 0, catalogue, images, captions, rank=0, workers=1)
        adaptation.run(model, TrialPaths(tmp_path / str(captions is None)), lambda _: None, Watch())
        assert set(seen) == {captions is None}


def test_t5_is_gone_when_the_statistics_of_what_was_drawn_want_memory(run, tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_SWEEP_RUNS", str(run.root.parent))
    again = RunPaths(tmp_path / "again")
    shutil.copytree(run.root, again.root)
    shutil.rmtree(again.trial("base-model").root)
    drawn_by, gone = list[SD3Model](), list[bool]()
    load = SD3Model.load.__func__
    monkeypatch.setattr(SD3Model, "load", classmethod(lambda *given: drawn_by.append(load(*given)) or drawn_by[-1]))

    def watched(*given):
        gone.append(drawn_by[-1].pipeline.text_encoder_3 is None)
        return evaluate(*given)

    alone = Worker(0, 1, "cpu", lambda: None, lambda values: None)
    trial = TrialWorker.open(again, "base-model", alone, evaluate=watched, draws_preview=False)
    assert trial.task.judge(trial)["fashion"]["fid"] > 0
    assert gone == [True]


@pytest.mark.parametrize("file_format", ["diffusers", "peft", "kohya"])
def test_an_adapter_is_handed_over_with_code_that_draws_with_it_where_diffusers_reads_its_names(
    run, tmp_path, file_format
):
    export(ExportRequest(run, file_format, trial="transformer-r2", output=tmp_path / "out"))
    card = (tmp_path / "out" / "README.md").read_text()
    assert ("StableDiffusion3Pipeline" in card) is (file_format != "kohya")
    assert "Judged with Euler, 2 steps" in card
    assert not {word for word in ("XL", "original_size", "refiner", "DDIM") if word in card}


@pytest.mark.parametrize("changed", [{}, {"t5": False, "shift": 1.5}, {"t5": False, "max_sequence_length": 0}])
def test_the_code_on_the_card_draws_what_the_model_draws(config, tmp_path, changed):
    whole = SD3Model.load(config.preset.model, "cpu")
    assert whole.t5
    whole.pipeline.save_pretrained(tmp_path)
    settings = config.preset.model.model_copy(update={"base": str(tmp_path), **changed})
    example = Example(repr(settings.base), "float32", [], "'A red shirt.'", 64, 48, None, 2, 3.0)
    imports, lines = SD3.example_code(example, settings)
    model = SD3Model.load(settings, "cpu")
    noise = torch.randn(1, *model.latent_shape(64, 48), generator=torch.Generator().manual_seed(0))
    names: dict = {"noise": noise}
    exec("\n".join(["import torch", *imports, *lines]).replace("height=", "latents=noise, height="), names)
    generation = config.preset.generation.model_copy(update={"num_inference_steps": 2, "guidance_scale": 3.0})
    ours = model.sample(GenerationRequest(["A red shirt."], noise, (64, 48)), generation)[0]
    theirs = torch.from_numpy(np.array(names["image"])).movedim(-1, 0)
    assert (ours.int() - theirs.int()).abs().max() <= 1
