"""Networks from configs alone: true in kind and size, the same each time, and never taken for real ones."""

import pytest
import torch

from fashion_sweep.config.loading import load_preset, load_run_config
from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.encodings.caches import plan_caches
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.clip_tokenizers import clip_tokenizer
from fashion_sweep.models.sdxl.model import SDXLModel
from fashion_sweep.models.sdxl.sources import CONFIGS, SOURCES

RANDOM = ["model.base=random:embedded:base", "model.refiner=random:embedded:refiner"]


@pytest.fixture(scope="module")
def random_model():
    return SDXLModel.load(load_preset("tiny", RANDOM).model, "cpu", for_pictures=True)


def test_a_random_model_has_the_layers_of_the_real_one_and_other_weights(random_model, model):
    for name in ("unet", "text_encoder", "text_encoder_2", "vae"):
        ours, theirs = getattr(random_model.pipeline, name), getattr(model.pipeline, name)
        shapes = {key: (value.shape, value.dtype) for key, value in ours.state_dict().items()}
        assert shapes == {key: (value.shape, value.dtype) for key, value in theirs.state_dict().items()}
    ours, theirs = random_model.pipeline.unet.conv_in.weight, model.pipeline.unet.conv_in.weight
    assert not torch.allclose(ours, theirs)
    assert random_model.refiner.vae is random_model.pipeline.vae


def test_random_weights_are_the_same_each_time_and_differ_by_layer(random_model):
    again = SDXLModel.load(load_preset("tiny", RANDOM).model, "cpu")
    first, second = (m.pipeline.unet.state_dict() for m in (random_model, again))
    assert all(torch.equal(first[key], second[key]) for key in first)
    attention = [value for key, value in first.items() if key.endswith("attn1.to_q.weight")]
    assert len({tuple(value.flatten()[:4].tolist()) for value in attention}) == len(attention)


def test_what_a_random_model_makes_is_finite_and_of_usual_size(random_model):
    text = random_model.encode_text(["A shirt.", "A dress."])
    assert 0.3 < text["prompt_embeds"].std() < 3
    assert not torch.allclose(text["prompt_embeds"][0], text["prompt_embeds"][1])
    latents = random_model.encode_images(torch.rand(1, 3, 64, 48) * 2 - 1, torch.zeros(1, 8, 16, 12))
    assert latents.isfinite().all()


def test_the_tokenizers_are_clips_own():
    # the ids that CLIP's published tokenizer gives
    assert clip_tokenizer("tokenizer")("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    for name, pad in (("tokenizer", 49407), ("tokenizer_2", 0)):
        tokenizer = clip_tokenizer(name)
        assert (len(tokenizer), tokenizer.pad_token_id, tokenizer.model_max_length) == (49408, pad, 77)


def test_encodings_by_random_weights_are_kept_apart_from_real_ones(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x")
    catalogue = Catalogue((Record("a.jpg", path, "A shirt.", 60, 90),), 0, ())
    real, random = (
        plan_caches(load_run_config("exp2", "tiny", settings), {"fashion": catalogue}) for settings in ([], RANDOM)
    )
    assert real.images.root != random.images.root
    assert real.captions.root != random.captions.root


@pytest.mark.parametrize(
    ("model", "unet"),
    [("stable-diffusion-xl-base-1.0", 2_567_463_684), ("stable-diffusion-xl-refiner-1.0", 2_259_526_660)],
)
def test_the_packaged_architectures_are_of_the_published_size(model, unet):
    from diffusers import AutoencoderKL, UNet2DConditionModel

    with torch.device("meta"):
        folder = str(CONFIGS / model)
        network = UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder, subfolder="unet"))
        vae = AutoencoderKL.from_config(AutoencoderKL.load_config(folder, subfolder="vae"))
    assert sum(parameter.numel() for parameter in network.parameters()) == unet
    assert sum(parameter.numel() for parameter in vae.parameters()) == 83_653_863


def test_an_architecture_that_is_not_at_hand_is_told():
    with pytest.raises(ConfigError, match=r"from a folder with configs alone, or from stable-diffusion-xl-base-1\.0"):
        SOURCES.locate("random:someone/else", "model.base")


def test_an_architecture_of_the_package_is_known_by_its_short_name_too():
    short, full = "random:stable-diffusion-xl-base-1.0", "random:stabilityai/stable-diffusion-xl-base-1.0"
    assert SOURCES.locate(short, "model.base") == SOURCES.locate(full, "model.base")
