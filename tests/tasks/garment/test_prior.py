"""Prior preservation: the base model's own pictures of a kind, trained on beside the photo."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from fashion_sweep.adapters.formats import read_adapter
from fashion_sweep.cluster.worker import Worker
from fashion_sweep.config.loading import load_preset
from fashion_sweep.data.garment import keep_photos, read_garments
from fashion_sweep.encodings.caches import read_caches
from fashion_sweep.encodings.prepare import make_shard, missing_shards
from fashion_sweep.encodings.sharded_cache import ShardedCache
from fashion_sweep.models.loaded import forget_models
from fashion_sweep.planning.plan import specs_of
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import is_whole
from fashion_sweep.tasks.garment.prior import Prior
from fashion_sweep.tasks.garment.recipe import PHOTOS, garment_config, open_garments
from fashion_sweep.tasks.sweep import _write_inputs
from fashion_sweep.tasks.trial_worker import TrialWorker
from fashion_sweep.training.batches import CachedCaptions, PriorPictures, TrainingSet

QUICK = ["garment.training.steps=4", "garment.training.views=2", "garment.training.validation_every=4"]
QUICK += [
    "generation.num_inference_steps=5",
    "generation.refine_fraction=0.2",
    "garment.prior={images: 3, weight: 0.5}",
]


@pytest.fixture
def set_with_prior(tmp_path):
    draw = torch.Generator().manual_seed(0)
    images, drawn = ShardedCache(tmp_path / "images", 1), ShardedCache(tmp_path / "prior", 4)
    size = {"time_ids": torch.zeros(1, 2, 6), "latents": torch.randn(1, 2, 4, 3, 2, generator=draw)}
    images.write(0, size)
    text = {"prompt_embeds": torch.randn(4, 5, 8, generator=draw), "pooled": torch.randn(4, 6, generator=draw)}
    drawn.write(0, {"latents": torch.randn(4, 4, 3, 2, generator=draw), "time_ids": torch.ones(4, 6)} | text)
    captions = ShardedCache(tmp_path / "captions", 1)
    captions.write(0, {"prompt_embeds": torch.zeros(1, 5, 8), "pooled": torch.zeros(1, 6)})
    return TrainingSet(
        images=images,
        captions=CachedCaptions(captions),
        names=["mine"],
        caption_rows=[0],
        training_rows=[0],
        validation_rows=[0],
        views=2,
        seed=3,
        validation_seed=3,
        num_train_timesteps=1000,
        prior=PriorPictures(drawn, range(2, 4), "Photo of a sweater", 0.5),
    )


def test_noise_offset_is_in_the_noise_of_prior_pictures_too(set_with_prior):
    shifted = replace(set_with_prior, noise_offset=0.5)
    plain, other = (one.training_batch(0, 16, range(16)).noise for one in (set_with_prior, shifted))
    shift = other - plain
    assert torch.allclose(shift, shift.mean(dim=(2, 3), keepdim=True), atol=1e-5)
    assert (shift[:, 0, 0, 0].abs() > 0).all()  # odd ones are of the base model


def test_every_second_sample_is_a_picture_of_the_kind_and_weighs_as_it_should(set_with_prior):
    batch = set_with_prior.training_batch(7, 6, range(6))
    assert batch.names[::2] == ["mine"] * 3
    assert all(name.endswith("of the base model") for name in batch.names[1::2])
    assert {name.split()[1] for name in batch.names[1::2]} <= {"2", "3"}
    assert batch.weights.tolist() == [2.0, 1.0] * 3  # the mean is that of the photo plus half that of the pictures
    assert batch.conditioning["time_ids"][:, 0].tolist() == [0.0, 1.0] * 3
    assert [bool(row.any()) for row in batch.conditioning["pooled"]] == [False, True] * 3


@pytest.mark.parametrize("slots", [[0, 1], [2, 3, 4], [5], [4]])
def test_what_a_worker_gets_does_not_depend_on_the_others(set_with_prior, slots):
    whole, part = set_with_prior.training_batch(7, 6, range(6)), set_with_prior.training_batch(7, 6, slots)
    assert part.names == [whole.names[slot] for slot in slots]
    for name in ("latents", "noise", "timesteps", "weights"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[slots])
    assert torch.equal(part.conditioning["prompt_embeds"], whole.conditioning["prompt_embeds"][slots])


WORDS = {"unet": 1, "text_encoders": {"kind": "prompt_tokens", "num_tokens": 2}}


@pytest.mark.parametrize("ranks", [{"unet": 1}, {"text_encoders": 1}, WORDS], ids=["unet", "text", "words"])
def test_an_adapter_is_trained_with_pictures_that_the_base_model_drew(tmp_path, monkeypatch, ranks):
    monkeypatch.setenv("FASHION_SWEEP_RUNS", str(tmp_path / "runs"))
    for name, colour in (("blue", (40, 60, 160)), ("red", (180, 30, 30))):
        Image.new("RGB", (60, 80), colour).save(tmp_path / f"{name}.png")
    garments = read_garments([str(tmp_path / f"{name}.png") for name in ("blue", "red")], "sweater", "colour", None)
    config, run = garment_config(load_preset("tiny", QUICK), garments, ranks), RunPaths(tmp_path / "runs" / "mine")
    assert config.preset.training.batch_size == 2
    run.root.mkdir(parents=True)
    run.config.write_text(config.to_yaml())
    _write_inputs(run, config, {PHOTOS: keep_photos(open_garments(config, run), run.photos)})
    for shard in missing_shards(run, specs_of(config)):
        make_shard(shard)
    forget_models()
    drawn = read_caches(run).parts.get(Prior.KIND)
    assert drawn is not None
    assert drawn.rows == 3  # both garments share those of their kind
    assert len({drawn.row("latents", row).numpy().tobytes() for row in range(3)}) == 3
    TrialWorker.open(run, "blue", Worker(0, 1, "cpu", lambda: None, print)).train()
    assert is_whole(run.trial("blue").adapter)
    words = read_adapter(run.trial("blue").adapter).of_words.configs
    assert {config["prompt_tokens"]["token"] for config in words.values()} == ({"sks"} if ranks is WORDS else set())
