"""Where weights may come from: a hub id, a folder, a single-file checkpoint, an autoencoder of one's own."""

import hashlib
import os
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from fashion_sweep.checks import check_config, check_size
from fashion_sweep.config_files import load_run_config
from fashion_sweep.errors import ConfigError
from fashion_sweep.models import locate, pipelines
from fashion_sweep.models.counting import count_parameters
from fashion_sweep.models.sdxl import SDXL
from fashion_sweep.models.tokenizers import clip_tokenizer
from fashion_sweep.space import TrialSpec
from fashion_sweep.tiny import WEIGHTS
from tests.models import original_format
from tests.models.test_sdxl import request as images_of

STUDY = {"unet": 1_451_520, "text_encoders": 401_408}


@pytest.fixture(scope="module")
def files(model, tmp_path_factory) -> Path:
    """The embedded models as single-file checkpoints, and one of the autoencoder alone with its decoder changed."""
    folder = tmp_path_factory.mktemp("checkpoints")
    save_file(original_format.whole(model.pipeline), folder / "base.safetensors")
    save_file(original_format.whole(model.refiner), folder / "refiner.safetensors")
    other = original_format.vae(model.pipeline.vae)
    other["decoder.conv_out.bias"] = other["decoder.conv_out.bias"] + 0.5
    save_file({name: tensor.contiguous() for name, tensor in other.items()}, folder / "vae.safetensors")
    model.pipeline.vae.save_pretrained(folder / "vae")
    return folder


@pytest.fixture
def tiny_architecture(monkeypatch):
    """Single files are read as checkpoints of the embedded models, not of the full-size ones."""

    def folder(key):
        return WEIGHTS / ("refiner" if key == "model.refiner" else "base")

    monkeypatch.setattr(locate, "architecture_of", folder)
    monkeypatch.setattr(pipelines, "architecture_of", folder)


def loaded(config, **changes) -> SDXL:
    return SDXL.load(config.preset.model.model_copy(update=changes), "cpu", with_refiner=True)


def test_single_file_checkpoints_draw_the_images_of_the_folders_they_were_made_from(
    model, config, files, tiny_architecture
):
    generation = config.preset.generation.model_copy(update={"num_inference_steps": 5})
    opened = loaded(config, base=str(files / "base.safetensors"), refiner=str(files / "refiner.safetensors"))
    assert torch.equal(opened.generate(images_of(), generation), model.generate(images_of(), generation))


def test_a_single_file_in_bf16_keeps_its_autoencoder_in_float32(model, config, files, tiny_architecture):
    opened = loaded(config, base=str(files / "base.safetensors"), dtype="bfloat16")
    assert opened.pipeline.unet.dtype == opened.pipeline.text_encoder_2.dtype == torch.bfloat16
    ours, theirs = opened.pipeline.vae.state_dict(), model.pipeline.vae.state_dict()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


@pytest.mark.parametrize("where", ["vae.safetensors", "vae", "embedded:base"])
def test_base_and_refiner_use_the_autoencoder_that_is_given(model, config, files, tiny_architecture, where):
    opened = loaded(config, vae=where if ":" in where else str(files / where))
    assert opened.refiner.vae is opened.pipeline.vae
    moved = opened.pipeline.vae.decoder.conv_out.bias - model.pipeline.vae.decoder.conv_out.bias
    assert torch.allclose(moved, torch.full_like(moved, 0.5 if where == "vae.safetensors" else 0))
    assert opened.pipeline.vae.dtype == torch.float32


def test_a_full_size_checkpoint_is_planned_from_its_header_alone(tmp_path):
    path = tmp_path / "sd_xl_base_1.0.safetensors"
    save_file({"conditioner.embedders.1.model.ln_final.weight": torch.zeros(1)}, path)
    base = locate.locate_architecture(str(path), "model.base")
    for placement, parameters in STUDY.items():
        assert count_parameters(base, TrialSpec.of({placement: 1})) == parameters


@pytest.mark.parametrize(
    ("key", "name", "said"),
    [
        ("model.base", "refiner.safetensors", "holds no single-file checkpoint of stable-diffusion-xl-base-1.0"),
        ("model.refiner", "vae.safetensors", "holds no single-file checkpoint of stable-diffusion-xl-refiner-1.0"),
        ("model.vae", "nothing.safetensors", "nothing.safetensors' is neither a folder nor a hub id"),
        ("model.vae", "text.safetensors", "is no whole .safetensors file"),
        ("model.base", "weights.ckpt", "is a file that cannot be read"),
    ],
)
def test_a_file_of_something_else_is_told_before_anything_starts(files, key, name, said):
    (files / "text.safetensors").write_text("not weights")
    (files / "weights.ckpt").write_text("not weights")
    with pytest.raises(ConfigError) as raised:
        check_config(load_run_config("exp2", "tiny", [f"{key}={files / name}"]))
    assert str(raised.value).startswith(key)
    assert said in str(raised.value)


def test_a_files_fingerprint_is_that_of_its_contents(tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for path in (first, second):
        save_file({"x": torch.zeros(3)}, path)
    assert locate.fingerprint(str(first)) == locate.fingerprint(str(second))
    save_file({"x": torch.ones(3)}, second)
    assert locate.fingerprint(str(first)) != locate.fingerprint(str(second))


def test_large_weights_are_read_once_for_their_fingerprint_and_again_when_they_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(locate, "LARGE", 1)
    folder, read, digest = tmp_path / "weights", [], hashlib.file_digest
    weights = folder / "a.safetensors"
    folder.mkdir()
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: read.append(file.name) or digest(file, name))
    weights.write_bytes(b"first")
    before = locate.fingerprint(str(folder))
    assert locate.fingerprint(str(folder)) == before
    assert len(read) == 1
    os.utime(weights, ns=(5, 5))
    assert locate.fingerprint(str(folder)) == before
    weights.write_bytes(b"other")
    assert locate.fingerprint(str(folder)) != before
    assert len(read) == 3


def test_image_sizes_are_checked_against_the_autoencoder_that_is_given(config, files):
    size = config.preset.data.fashion.evaluation.model_copy(update={"height": 68, "shorter_side": 48})
    own = config.preset.model.model_copy(update={"vae": str(files / "vae")})
    check_size(own, "size", size)
    with pytest.raises(ConfigError, match="do not divide by the autoencoder's 8"):
        check_size(own.model_copy(update={"vae": str(files / "vae.safetensors")}), "size", size)


@pytest.mark.parametrize(("name", "pad"), [("tokenizer", 49407), ("tokenizer_2", 0)])
def test_the_tokenizers_of_a_single_file_are_clips(name, pad):
    captions = ["His T-shirt has short sleeves, cotton fabric & 3 patterns.", "naïve  café — it's"]
    tokens = clip_tokenizer(name)(captions, padding="max_length", max_length=77).input_ids
    for ours, theirs in zip(tokens, open_clip.get_tokenizer("ViT-L-14")(captions).tolist(), strict=True):
        length = theirs.index(49407) + 1
        assert ours[:length] == theirs[:length]
        assert set(ours[length:]) == {pad}
