from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image

from fashion_sweep.config.sweep import SamplePrompt
from fashion_sweep.errors import TrialError
from fashion_sweep.generation.drawing import write_preview, write_samples
from fashion_sweep.generation.generator import Generator
from fashion_sweep.generation.judging import collect_batches, images_at_once, judge_batches
from fashion_sweep.metrics.judge import Judge
from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.models.sources import locate
from tests.conftest import noise_image

CAPTIONS = [f"The shirt number {i} is of cotton." for i in range(10)]
BATCHES = range(3)
"""Of four captions each, the last one short."""


@pytest.fixture(scope="module")
def generator(model, config):
    generation = config.preset.generation.model_copy(update={"num_inference_steps": 5, "batch_size": 4})
    return Generator(model, generation, config.preset.picture_size("fashion"), (160, 110), None)


@pytest.fixture(scope="module")
def judge(config):
    return Judge(config.preset.evaluation, metrics_of(["fid", "clip_score"]), "cpu")


@pytest.fixture(scope="module")
def whole(generator, judge, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    judge_batches(generator, judge, CAPTIONS, folder, BATCHES)
    return collect_batches(folder, len(CAPTIONS), 4)


def test_an_image_does_not_depend_on_which_others_are_made_with_it(generator):
    together = generator.images(CAPTIONS[:4], [(0, i) for i in range(4)], batch_size=4)
    alone = generator.images(CAPTIONS[2:3], [(0, 2)], batch_size=4)
    assert (together[2].int() - alone[0].int()).abs().max() <= 1


def test_every_image_starts_from_noise_of_its_own(generator):
    draws = [(0, 0), (0, 1), (1, 0), (0, 0)]
    images = generator.images(CAPTIONS[:1] * 4, draws, batch_size=4).int()
    differences = [(images[0] - images[i]).abs().float().mean() for i in (1, 2, 3)]
    assert min(differences[:2]) > 5
    assert differences[2] < 1


def test_scores_do_not_depend_on_the_batch_size(generator, judge, whole, tmp_path):
    smaller = replace(generator, config=generator.config.model_copy(update={"batch_size": 3}))
    judge_batches(smaller, judge, CAPTIONS[:6], tmp_path, range(2))
    scores = collect_batches(tmp_path, 6, 3)
    assert np.allclose(scores["clip_scores"], whole["clip_scores"][:6], atol=0.5)
    assert len({round(score, 2) for score in scores["clip_scores"].tolist()}) == 6


def test_two_workers_make_the_same_scores_as_one_bit_for_bit(generator, judge, whole, tmp_path):
    for rank in range(2):
        judge_batches(generator, judge, CAPTIONS, tmp_path, BATCHES[rank::2])
    shared = collect_batches(tmp_path, len(CAPTIONS), 4)
    assert all(np.array_equal(shared[name], whole[name]) for name in ("features", "clip_scores"))


def test_only_what_is_missing_or_damaged_is_made_again(generator, judge, whole, tmp_path):
    def killed() -> Iterator[int]:
        yield from BATCHES[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge_batches(generator, judge, CAPTIONS, tmp_path, killed())
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(before) == 2
    damaged = tmp_path / before.popitem()[0]
    damaged.write_bytes(damaged.read_bytes()[:-8])
    judge_batches(generator, judge, CAPTIONS, tmp_path, BATCHES)
    assert all((tmp_path / name).stat().st_mtime_ns == time for name, time in before.items())
    again = collect_batches(tmp_path, len(CAPTIONS), 4)
    assert all(np.array_equal(again[name], whole[name]) for name in whole)


def test_sample_images_are_written_by_prompt_and_seed(generator, tmp_path):
    samples = [SamplePrompt(prompt=CAPTIONS[0], seed=seed) for seed in (0, 30, 0)]
    write_samples(generator, samples, tmp_path)
    first, second, third = (np.array(Image.open(tmp_path / f"0{i}.png")) for i in range(3))
    assert first.shape == (64, 48, 3)
    assert np.abs(first.astype(int) - third).max() <= 1
    assert not np.array_equal(first, second)


def test_clip_score_is_that_of_open_clip_used_directly(config, judge):
    pictures = [noise_image(48, 64, seed) for seed in range(3)]
    images = torch.stack([torch.from_numpy(np.array(picture)).movedim(-1, 0) for picture in pictures])
    name = "local-dir:" + locate(config.preset.evaluation.clip_model, "clip")
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    with torch.inference_mode():
        seen = model.eval().encode_image(torch.stack([preprocess(p) for p in pictures]), normalize=True)
        said = model.encode_text(tokenizer(CAPTIONS[:3]), normalize=True)
    expected = 100 * (seen * said).sum(-1)
    assert torch.allclose(judge.per_image(images, CAPTIONS[:3])["clip_scores"], expected, atol=1e-3)


def limited(generator, samples, monkeypatch):
    """The generator on a device whose memory holds only so many images."""
    sample = generator.model.sample

    def limit(request, config):
        if len(request.prompts) > samples:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return sample(request, config)

    monkeypatch.setattr(generator.model, "sample", limit)
    return replace(generator)


def test_a_batch_that_does_not_fit_is_made_in_parts_and_its_file_says_so(
    generator, judge, whole, tmp_path, monkeypatch, caplog
):
    assert images_at_once_of(generator, judge, tmp_path / "whole") == 4
    small = limited(generator, 2, monkeypatch)
    judge_batches(small, judge, CAPTIONS, tmp_path, BATCHES)
    assert images_at_once(tmp_path, len(CAPTIONS), 4) == 2
    assert caplog.text.count("out of memory; now with 2 images at a time") == 1  # later batches begin with 2
    assert np.allclose(collect_batches(tmp_path, len(CAPTIONS), 4)["clip_scores"], whole["clip_scores"], atol=0.5)


def images_at_once_of(generator, judge, folder):
    judge_batches(generator, judge, CAPTIONS[:4], folder, range(1))
    return images_at_once(folder, 4, 4)


def test_one_image_that_does_not_fit_fails_and_names_what_to_change(generator, monkeypatch):
    with pytest.raises(TrialError, match=r"out of memory with one image of 64x48; set model\.dtype=bfloat16"):
        limited(generator, 0, monkeypatch).images(CAPTIONS[:2], [(0, 0), (0, 1)], batch_size=2)


def test_a_preview_holds_the_first_three_prompts_side_by_side_and_is_drawn_once(generator, tmp_path):
    samples = [SamplePrompt(prompt=caption, seed=seed) for seed, caption in enumerate(CAPTIONS[:4])]
    path, steps = tmp_path / "samples" / "preview.png", []
    write_preview(generator, samples, path, lambda: steps.append(1))
    with Image.open(path) as opened:
        assert opened.size == (3 * 4 * 48, 4 * 64)
        strip = np.asarray(opened.resize((3 * 48, 64), Image.Resampling.BOX), dtype=int)
    base_alone = replace(generator, config=generator.config.model_copy(update={"refine_fraction": 0.0}))
    second = base_alone.images([CAPTIONS[1]], [(1, 0)], batch_size=3)[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(strip[:, 48:96] - second).mean() < 4
    assert len(steps) == 5
    write_preview(generator, samples, path, lambda: steps.append(1))
    assert len(steps) == 5


def test_a_preview_that_does_not_fit_into_memory_is_left_out(generator, tmp_path, monkeypatch):
    def out_of_memory(*given):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(generator.model, "sample", out_of_memory)
    write_preview(generator, [SamplePrompt(prompt="A shirt.", seed=0)], tmp_path / "preview.png", lambda: None)
    assert not (tmp_path / "preview.png").exists()
