"""What a model says of its noise, and what stands in for what it does not say."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import save_file

from fashion_sweep.errors import ConfigError
from fashion_sweep.models.checks import check_model
from fashion_sweep.models.pipeline_sources import PipelineSources
from fashion_sweep.models.sdxl.config import SDXLConfig
from fashion_sweep.models.sdxl.model import SDXLModel as Model
from fashion_sweep.models.sdxl.pipelines import open_base
from fashion_sweep.models.sdxl.schedule import CONFIG, NEVER, SDXL_SCHEDULE, schedule_of
from fashion_sweep.models.sdxl.sources import CONFIGS, SOURCES
from fashion_sweep.storage.files import read_json
from fashion_sweep.tiny import WEIGHTS
from tests.models.sdxl import original_format
from tests.models.sdxl.test_model import request as images_of

V = {"prediction_type": "v_prediction"}
ZERO_SNR = {"rescale_betas_zero_snr": True}


def of(config: object) -> dict:
    return schedule_of("embedded:base", "model.base", lambda folder: config)


def folder_with(tmp_path: Path, config: dict) -> SDXLConfig:
    """The embedded base model with another scheduler config."""
    folder = tmp_path / "model"
    shutil.copytree(WEIGHTS / "base", folder)
    (folder / CONFIG).write_text(json.dumps(config))
    return SDXLConfig(base=str(folder), dtype="float32")


def test_what_a_model_does_not_say_is_sdxls_and_latents_are_never_clipped():
    packaged = read_json(CONFIGS / "stable-diffusion-xl-base-1.0" / CONFIG)
    assert of({}) == of({"clip_sample": True, "thresholding": True}) == of(packaged) == SDXL_SCHEDULE | NEVER
    told = {"timestep_spacing": "trailing", "set_alpha_to_one": True, "steps_offset": 0, "beta_end": 0.02}
    assert of({"_class_name": "DDIMScheduler", **told}) == SDXL_SCHEDULE | NEVER | told
    assert of(V | ZERO_SNR)["timestep_spacing"] == "trailing"
    assert of(V | ZERO_SNR | {"timestep_spacing": "leading"})["timestep_spacing"] == "leading"


def test_a_bare_scheduler_config_draws_the_images_of_one_that_says_all(model, config, tmp_path):
    generation = config.preset.generation.model_copy(update={"num_inference_steps": 5, "refine_fraction": 0.0})
    bare = Model.load(folder_with(tmp_path, {"_class_name": "DDIMScheduler", "clip_sample": True}), "cpu")
    assert torch.equal(bare.sample(images_of(), generation), model.sample(images_of(), generation))


@pytest.mark.parametrize(
    ("marks", "said", "found"),
    [
        ([], {}, {}),
        (["v_pred"], {}, V),
        (["v_pred", "ztsnr"], {}, V | ZERO_SNR | {"timestep_spacing": "trailing"}),
        ([], {"modelspec.prediction_type": "v"}, V),
        ([], {"modelspec.prediction_type": "epsilon"}, {}),
    ],
)
def test_a_single_file_tells_by_its_marks_how_it_was_trained(marks, said, found, tmp_path):
    names = [SOURCES.single_files["model.base"][1], *marks]
    save_file({name: torch.tensor([]) for name in names}, tmp_path / "base.safetensors", said)
    read = schedule_of(str(tmp_path / "base.safetensors"), "model.base", lambda folder: None)
    assert read == SDXL_SCHEDULE | NEVER | found


def test_a_single_file_of_v_prediction_is_trained_and_drawn_as_its_folder(model, config, tmp_path, monkeypatch):
    monkeypatch.setattr(PipelineSources, "packaged_configs", lambda self, key: WEIGHTS / "base")
    marks = {mark: torch.tensor([]) for mark in ("v_pred", "ztsnr")}
    save_file(original_format.whole(model.pipeline) | marks, tmp_path / "vpred.safetensors")
    single = Model.load(SDXLConfig(base=str(tmp_path / "vpred.safetensors"), dtype="float32"), "cpu")
    of_folder = Model.load(folder_with(tmp_path, V | ZERO_SNR), "cpu")
    latents, noise, steps = torch.randn(3, 8, 16, 12), torch.randn(3, 8, 16, 12), torch.tensor([0, 400, 999])
    calls = single.scheduler.add_noise, single.training_target
    noisy, velocity = (call(latents, noise, steps) for call in calls)
    signal = single.scheduler.alphas_cumprod[steps].sqrt()[:, None, None, None]
    assert torch.allclose(velocity, signal * noise - (1 - signal**2).sqrt() * latents, atol=1e-6)
    assert torch.equal(noisy[2], noise[2])
    generation = config.preset.generation.model_copy(update={"num_inference_steps": 5, "refine_fraction": 0.0})
    images = single.sample(images_of(), generation)
    assert torch.equal(images, of_folder.sample(images_of(), generation))
    assert not torch.equal(images, model.sample(images_of(), generation))


def test_v_prediction_from_the_last_timestep_on_finds_a_picture_that_is_known():
    """A network that always knows the velocity leads from pure noise to the very latents."""
    scheduler = DDIMScheduler(**of(V | ZERO_SNR | {"set_alpha_to_one": True}))
    scheduler.set_timesteps(10)
    latents, noise = torch.randn(1, 8, 16, 12), torch.randn(1, 8, 16, 12)
    found = noise
    for step in scheduler.timesteps:
        signal = scheduler.alphas_cumprod[step].sqrt()
        seen = (found - signal * latents) / (1 - signal**2).sqrt()
        found = scheduler.step(signal * seen - (1 - signal**2).sqrt() * latents, step, found).prev_sample
    assert scheduler.timesteps[0] == 999
    assert torch.allclose(found, latents, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"prediction_type": "sample"}, "has prediction_type 'sample'; it must be epsilon or v_prediction"),
        ({"prediction_type": "flow_prediction"}, "prediction_type 'flow_prediction'"),
        ({"_class_name": "EDMEulerScheduler"}, "has the noise of a EDMEulerScheduler"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler"}, "has the noise of a FlowMatch"),
        ({"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True}, "has the noise of a UniPC"),
        ({"beta_schedule": "laplace"}, "has beta_schedule 'laplace'"),
        ({"beta_end": "x"}, "has beta_end 'x'; it must be between 0 and 1"),
        ({"trained_betas": [2.0]}, "has trained_betas"),
        ({"timestep_spacing": ["leading"]}, "has timestep_spacing"),
        ({"num_train_timesteps": 0}, "has num_train_timesteps '0'"),
        (ZERO_SNR, "zero terminal SNR"),
        ([], "holds no settings of a scheduler"),
    ],
    ids=str,
)
def test_a_model_that_learnt_something_else_is_refused_by_name_before_anything_is_loaded(config, said, tmp_path):
    with pytest.raises(ConfigError) as raised:
        check_model(folder_with(tmp_path, config))
    assert said in str(raised.value)
    assert str(tmp_path / "model") in str(raised.value)


@pytest.mark.parametrize("tensor", ["edm_mean", "edm_vpred.sigma_max"])
def test_a_single_file_of_edm_is_refused_by_the_tensor_that_tells(tensor, tmp_path):
    file = tmp_path / "edm.safetensors"
    save_file({tensor: torch.ones(1), SOURCES.single_files["model.base"][1]: torch.zeros(1)}, file)
    with pytest.raises(ConfigError, match=f"is a model of EDM, by its tensor {tensor}"):
        check_model(SDXLConfig(base=str(file)))


def test_a_refiner_of_other_noise_than_the_base_is_refused(tmp_path):
    other = folder_with(tmp_path, V).model_copy(update={"refiner": "embedded:refiner"})
    with pytest.raises(ConfigError, match=r"has prediction_type epsilon.*v_prediction; set model\.refiner=null"):
        check_model(other)
    with pytest.raises(ConfigError, match=r"set model\.refiner=null"):
        Model.load(other, "cpu", for_pictures=True)


def changed(path: Path, without: set[str] = frozenset(), **said) -> None:
    values = json.loads(path.read_text(encoding="utf-8")) | said
    path.write_text(json.dumps({key: value for key, value in values.items() if key not in without}), encoding="utf-8")


def test_latents_tokens_and_empty_prompts_are_sdxls_where_a_model_does_not_tell(tmp_path):
    own = folder_with(tmp_path, {})
    changed(Path(own.base) / "vae/config.json", {"scaling_factor"})
    changed(Path(own.base) / "tokenizer/tokenizer_config.json", {"model_max_length"})
    changed(Path(own.base) / "model_index.json", {"force_zeros_for_empty_prompt"})
    pipeline = open_base(own)
    assert pipeline.vae.config.scaling_factor == 0.13025
    assert pipeline.tokenizer.model_max_length == 77
    assert pipeline.config.force_zeros_for_empty_prompt


def test_an_autoencoder_that_shifts_its_latents_is_refused(tmp_path):
    own = folder_with(tmp_path, {})
    changed(Path(own.base) / "vae/config.json", latents_mean=[0.0] * 4, latents_std=[1.0] * 4)
    with pytest.raises(ConfigError, match="latents_mean"):
        open_base(own)
