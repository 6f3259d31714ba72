"""A sweep over a small Stable Diffusion 3 goes all the way of a run."""

import pytest
from safetensors.torch import load_file

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.encodings.caches import read_caches
from fashion_sweep.handover.export import ExportRequest, export
from fashion_sweep.storage.files import read_json
from fashion_sweep.tasks.preflight import check_config
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


@pytest.mark.parametrize("file_format", ["diffusers", "kohya"])
def test_an_adapter_is_handed_over_with_code_that_draws_with_it(run, tmp_path, file_format):
    export(ExportRequest(run, file_format, trial="transformer-r2", output=tmp_path / "out"))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "StableDiffusion3Pipeline" in card
    assert "Judged with Euler, 2 steps" in card
    assert not {word for word in ("XL", "original_size", "refiner", "DDIM") if word in card}
