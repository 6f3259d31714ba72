"""The shipped models are plain folders of their libraries, small, and mean something."""

import numpy as np
import open_clip
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline

from fashion_sweep.tiny import WEIGHTS
from fashion_sweep.tiny.making.judge import pad_to_square
from fashion_sweep.tiny.pictures import fashion_picture

PROMPT = "The shirt the lady wears has medium sleeves and its fabric is cotton. It has a v-shape neckline."


@pytest.fixture(scope="module")
def base():
    return StableDiffusionXLPipeline.from_pretrained(WEIGHTS / "base", torch_dtype=torch.float32)


@pytest.fixture(scope="module")
def refiner():
    return StableDiffusionXLImg2ImgPipeline.from_pretrained(WEIGHTS / "refiner", torch_dtype=torch.float32)


@pytest.fixture(scope="module")
def judge():
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{WEIGHTS / 'clip'}")
    return model.eval(), preprocess, open_clip.get_tokenizer(f"local-dir:{WEIGHTS / 'clip'}")


def test_all_weights_together_are_at_most_40_megabytes():
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) <= 40_000_000


def test_only_safetensors_are_shipped():
    assert {path.suffix for path in WEIGHTS.rglob("*") if path.is_file()} <= {".safetensors", ".json", ".txt", ".md"}


def test_tokenizers_and_text_encoders_agree_on_special_tokens(base, refiner):
    pairs = [(base.tokenizer, base.text_encoder), (base.tokenizer_2, base.text_encoder_2)]
    for tokenizer, encoder in [*pairs, (refiner.tokenizer_2, refiner.text_encoder_2)]:
        assert len(tokenizer) == encoder.config.vocab_size
        assert tokenizer.bos_token_id == encoder.config.bos_token_id
        assert tokenizer.eos_token_id == encoder.config.eos_token_id
        assert tokenizer.pad_token_id == encoder.config.pad_token_id
        assert tokenizer.model_max_length == encoder.config.max_position_embeddings == 77


def test_any_text_tokenizes(base):
    ids = base.tokenizer("Wo man's 日本 Кот é 42 \U0001f600 sks").input_ids
    assert ids[0] == base.tokenizer.bos_token_id
    assert ids[-1] == base.tokenizer.eos_token_id
    assert base.tokenizer.unk_token_id not in ids[1:-1]


@pytest.mark.parametrize(("height", "width"), [(64, 48), (48, 64)])
def test_base_and_refiner_make_an_image_together(base, refiner, height, width):
    scheduler = DDIMScheduler.from_config(base.scheduler.config)
    assert not scheduler.config.clip_sample
    base.scheduler, refiner.scheduler = scheduler, DDIMScheduler.from_config(scheduler.config)
    shared = {"prompt": PROMPT, "num_inference_steps": 10, "guidance_scale": 3.0}
    latents = base(height=height, width=width, denoising_end=0.8, output_type="latent", **shared).images
    # diffusers would encode latents of another number of channels than four, as if they were pictures
    refiner.image_processor.register_to_config(vae_latent_channels=latents.shape[1])
    refiner.prepare_latents = lambda image, *_: image
    image = refiner(image=latents, denoising_start=0.8, **shared).images[0]
    assert image.size == (width, height)
    assert np.asarray(image).std() > 8


def test_judge_tells_matching_captions_from_others(judge):
    model, preprocess, tokenizer = judge
    pictures = [p for p in (fashion_picture(99, i) for i in range(72)) if p.image.width < 120][:60]
    images = torch.stack([preprocess(picture.image) for picture in pictures])
    with torch.no_grad():
        seen = model.encode_image(images, normalize=True)
        cosines = 100 * seen @ model.encode_text(tokenizer([p.captions[0] for p in pictures]), normalize=True).T
    shuffled = (cosines.sum() - cosines.diagonal().sum()) / (60 * 59)
    assert cosines.diagonal().mean() - shuffled >= 5


def test_padding_of_tensors_is_the_preprocessing_of_images(judge):
    _, preprocess, _ = judge
    image = fashion_picture(99, 0).image.resize((48, 64))
    tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1
    assert (pad_to_square(tensor) - preprocess(image)[None]).abs().max() < 0.01
