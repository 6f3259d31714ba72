"""Where weights may come from: a hub id, a folder, a single-file checkpoint, an autoencoder of one's own."""

import hashlib
import os
import shutil
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file

from fashion_sweep.adapters.counting import count_parameters
from fashion_sweep.adapters.metadata import base_model_id
from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import ConfigError
from fashion_sweep.models import sources
from fashion_sweep.models.checks import check_size
from fashion_sweep.models.clip_tokenizers import clip_tokenizer
from fashion_sweep.models.pipeline_sources import PipelineSources, variant_of
from fashion_sweep.models.registry import load_model
from fashion_sweep.models.sdxl.model import SDXLModel
from fashion_sweep.models.sdxl.sources import SOURCES
from fashion_sweep.models.sources import fingerprint
from fashion_sweep.tasks.preflight import check_config
from fashion_sweep.tiny import WEIGHTS
from tests.models.sdxl import original_format
from tests.models.sdxl.test_model import request as images_of

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

    monkeypatch.setattr(PipelineSources, "packaged_configs", lambda self, key: folder(key))


def loaded(config, **changes) -> SDXLModel:
    return SDXLModel.load(config.preset.model.model_copy(update=changes), "cpu", for_pictures=True)


def test_single_file_checkpoints_draw_the_images_of_the_folders_they_were_made_from(
    model, config, files, tiny_architecture
):
    generation = config.preset.generation.model_copy(update={"num_inference_steps": 5})
    opened = loaded(config, base=str(files / "base.safetensors"), refiner=str(files / "refiner.safetensors"))
    assert torch.equal(opened.sample(images_of(), generation), model.sample(images_of(), generation))


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
    base = SOURCES.locate_architecture(str(path), "model.base")
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


@pytest.mark.parametrize(("key", "file"), [("base", "base.safetensors"), ("vae", "vae.safetensors")])
def test_a_link_into_a_hubs_cache_is_followed_by_its_own_name(config, files, tiny_architecture, tmp_path, key, file):
    """The file behind it is called by its hash, without a suffix."""
    (tmp_path / "blobs").mkdir()
    blob, link = tmp_path / "blobs" / "4ba8d1f2", tmp_path / "mine.safetensors"
    shutil.copy(files / file, blob)
    link.symlink_to(blob)
    check_config(load_run_config("exp2", "tiny", [f"model.{key}={link}"]))
    opened = SDXLModel.load(config.preset.model.model_copy(update={key: str(link), "refiner": None}), "cpu")
    assert opened.latent_shape(64, 48) == (8, 16, 12)
    assert base_model_id(str(link)) == "mine"


def test_a_folder_of_links_has_the_fingerprint_of_what_they_lead_to(tmp_path):
    shutil.copytree(WEIGHTS / "base", tmp_path / "there")
    (tmp_path / "links").mkdir()
    for path in (tmp_path / "there").iterdir():
        (tmp_path / "links" / path.name).symlink_to(path)
    assert fingerprint(str(tmp_path / "links")) == fingerprint(str(WEIGHTS / "base"))


@pytest.mark.parametrize("kept", [(), ("vae",)], ids=["all", "but-one"])
def test_a_folder_of_fp16_files_alone_is_loaded(config, tmp_path, kept):
    folder = tmp_path / "model"
    shutil.copytree(WEIGHTS / "base", folder)
    for weights in [path for path in folder.glob("*/*.safetensors") if path.parent.name not in kept]:
        halves = {name: tensor.half() for name, tensor in load_file(weights).items()}
        save_file(halves, weights.with_suffix(".fp16.safetensors"), {"format": "pt"})
        weights.unlink()
    opened = SDXLModel.load(config.preset.model.model_copy(update={"base": str(folder), "refiner": None}), "cpu")
    whole = load_file(WEIGHTS / "base/unet/diffusion_pytorch_model.safetensors")
    assert all(
        torch.equal(tensor, whole[name].half().float()) for name, tensor in opened.pipeline.unet.state_dict().items()
    )
    vae = SDXLModel.load(
        config.preset.model.model_copy(update={"vae": str(folder / "vae"), "refiner": None}), "cpu"
    ).pipeline.vae
    assert torch.equal(vae.decoder.conv_in.weight, opened.pipeline.vae.decoder.conv_in.weight)


def test_plain_weights_go_before_a_variant_of_them(tmp_path):
    names = ["unet/diffusion_pytorch_model", "text_encoder/model-00001-of-00002", "vae/diffusion_pytorch_model"]
    plain = [tmp_path / f"{name}.safetensors" for name in names]
    half = [tmp_path / f"{name}.fp16.safetensors" for name in names]
    other = [
        tmp_path / "unet/diffusion_pytorch_model.non_ema.safetensors",
        tmp_path / "unet/model.fp16-00001-of-2.safetensors",
    ]
    assert variant_of([*plain, *half, *other]) is None
    assert variant_of([*plain[1:], *half, *other]) == "fp16"
    assert variant_of([*plain[1:], other[0]]) == "non_ema"


def test_a_folder_without_weights_is_not_told_to_take_some_that_are_on_disk(config, tmp_path):
    shutil.copytree(WEIGHTS / "base", tmp_path / "model", ignore=shutil.ignore_patterns("diffusion*.safetensors"))
    with pytest.raises(ConfigError, match=r"^model\.base \S+ cannot be loaded \(.*diffusion_pytorch_model"):
        load_model(config.preset.model.model_copy(update={"base": str(tmp_path / "model")}), "cpu")


def test_a_files_fingerprint_is_that_of_its_contents(tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    for path in (first, second):
        save_file({"x": torch.zeros(3)}, path)
    assert fingerprint(str(first)) == fingerprint(str(second))
    save_file({"x": torch.ones(3)}, second)
    assert fingerprint(str(first)) != fingerprint(str(second))


def test_large_weights_are_read_once_for_their_fingerprint_and_again_when_they_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LARGE", 1)
    folder, read, digest = tmp_path / "weights", [], hashlib.file_digest
    weights = folder / "a.safetensors"
    folder.mkdir()
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: read.append(file.name) or digest(file, name))
    weights.write_bytes(b"first")
    before = fingerprint(str(folder))
    assert fingerprint(str(folder)) == before
    assert len(read) == 1
    os.utime(weights, ns=(5, 5))
    assert fingerprint(str(folder)) == before
    weights.write_bytes(b"other")
    assert fingerprint(str(folder)) != before
    assert len(read) == 3


def test_image_sizes_are_checked_against_the_autoencoder_that_is_given(config, files):
    size = config.preset.picture_size("fashion").model_copy(update={"height": 68, "shorter_side": 48})
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
