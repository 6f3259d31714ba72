"""The recipe of the embedded weights: what each stage learns from, and that it can be interrupted."""

import json
import sys
from typing import ClassVar

import numpy as np
import pytest
import torch

from fashion_sweep.tiny import WEIGHTS
from fashion_sweep.tiny.attributes import ATTRIBUTES, HEADS, named
from fashion_sweep.tiny.making import (
    architecture,
    batches,
    corpus,
    pretrain,
    shards,
    tokenizer,
    train_clip,
    train_reader,
)
from fashion_sweep.tiny.making.fit import Recipe, fit, trained
from fashion_sweep.tiny.making.train_transformer import Flow
from fashion_sweep.tiny.pictures import fashion_picture, snapshot


class Line(torch.nn.Module):
    shares: ClassVar = {"slow": 0.1}

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.slow, self.fast = torch.nn.Linear(3, 3), torch.nn.Linear(3, 1)

    def loss(self, rng):
        x = torch.from_numpy(rng.standard_normal((8, 3), dtype=np.float32))
        return (self.fast(self.slow(x)) - x.sum(dim=1, keepdim=True)).square().mean()


def test_snapshots_are_photographs_elsewhere_and_all_their_captions_say_so():
    pictures = [snapshot(0, number) for number in range(40)]
    assert all("photo" in caption for picture in pictures for caption in picture.captions)
    assert not any("photo" in fashion_picture(0, number).captions[0] for number in range(40))
    assert {named(picture.captions[0])["garment"] for picture in pictures} >= {"shirt", "dress"}


def fitted(work, steps, until=None):
    work.mkdir(exist_ok=True)
    model = Line()
    recipe = Recipe("line", steps=steps, learning_rate=1e-2, warm_up=2)

    def loss(rng):
        loss.steps += 1
        if loss.steps == until:
            raise KeyboardInterrupt
        return model.loss(rng)

    loss.steps = 0
    fit(recipe, model, loss, work, checkpoint_seconds=-1)
    return trained(recipe, Line(), work)


def test_a_stage_that_was_interrupted_goes_on_to_the_same_weights(tmp_path):
    whole = fitted(tmp_path / "whole", 120)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "parts", 120, until=80)
    resumed = fitted(tmp_path / "parts", 120)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts" / "line.jsonl").read_text().splitlines()]
    assert steps == [50, 100]


def test_what_was_logged_of_steps_that_are_made_again_is_not_there_twice(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, 220, until=101)
    log = tmp_path / "line.jsonl"
    log.write_text(log.read_text() + '{"step": 150, "loss": 1.0, "time": 0}\n')
    fitted(tmp_path, 220)
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [50, 100, 150, 200]


def test_a_checkpoint_of_another_recipe_is_not_gone_on_from(tmp_path):
    fitted(tmp_path, 60)
    with pytest.raises(SystemExit, match=r"line\.pt is of another recipe; remove it"):
        fitted(tmp_path, 80)


def test_unfinished_weights_never_take_the_place_of_those_that_are_shipped(monkeypatch, capsys):
    monkeypatch.chdir(WEIGHTS.parent)
    monkeypatch.setattr(sys, "argv", ["pretrain", "--only", "export", "--unfinished", "--weights", WEIGHTS.name])
    with pytest.raises(SystemExit):
        pretrain.main()
    assert "--unfinished: give another folder with --weights" in capsys.readouterr().err


def test_what_has_not_been_trained_to_its_end_is_not_taken_but_for_a_look(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, 120, until=80)
    recipe = Recipe("line", steps=120, learning_rate=1e-2, warm_up=2)
    with pytest.raises(SystemExit, match="line has 79 of 120 steps; its stage comes first"):
        trained(recipe, Line(), tmp_path)
    looked_at = trained(recipe, Line(), tmp_path, unfinished=True)
    assert not torch.equal(looked_at.fast.weight, Line().fast.weight)


def test_parts_with_a_share_of_the_learning_rate_move_less(tmp_path):
    before, after = Line(), fitted(tmp_path / "one", 12)
    moved = {
        name: float((getattr(after, name).weight - getattr(before, name).weight).detach().abs().max())
        for name in ("slow", "fast")
    }
    assert 0 < moved["slow"] < 0.5 * moved["fast"]


def test_figures_carry_the_labels_of_what_was_painted():
    painted = train_reader.paint("figures", range(40))
    pixels, labels = painted["pixels"], painted["labels"]
    assert pixels.shape == (40, 64, 64, 3)
    assert set(labels[:, 0]) == {0, 1}
    assert (labels.max(axis=0) < list(HEADS.values())).all()
    assert len(set(labels[:, 1 + list(ATTRIBUTES).index("color")])) > 5


def test_whole_figures_stay_whole_in_every_crop():
    rng = np.random.default_rng(0)
    pictures = [train_reader.figure_picture(3, index) for index in range(60)]
    whole = [picture for picture, is_whole in pictures if is_whole and picture.image.height > picture.image.width]
    for picture in whole[:15]:
        width, height = picture.image.size
        flat, portrait, (_, _, top, _, crop_height, _), _ = corpus.view(picture, rng)
        assert portrait
        assert flat.shape == (64 * 48 * 3,)
        scaled = round(height * 49 / width)
        assert top <= 0.07 * scaled  # above it is no head
        assert scaled - top - crop_height <= 0.06 * scaled  # below is no more than a shoe's tip


def test_the_transformer_begins_from_the_text_encoders_that_saw_pictures():
    torch.manual_seed(0)
    towers = train_clip.TextTowers()
    flow = Flow(towers)
    ids = torch.randint(0, tokenizer.VOCABULARY, (2, tokenizer.CONTEXT))
    states, pooled = flow.encode([ids, ids])
    assert states.shape == (2, 77, architecture.TEXT_WIDTH + architecture.TEXT_WIDTH_2)
    assert pooled.shape == (2, architecture.TEXT_WIDTH + architecture.TEXT_WIDTH_2)
    with torch.no_grad():
        assert torch.equal(pooled[:, : architecture.TEXT_WIDTH], towers.first(ids).pooler_output)


def test_batches_are_of_one_orientation():
    portrait = np.array([True, False] * 40)
    some = corpus.Corpus(np.zeros((80, 9216), np.uint8), portrait, np.zeros((80, 6), np.int16), [["a", "b"]] * 80)
    latents = np.repeat(portrait[:, None], architecture.LATENT_CHANNELS * 192, axis=1).astype(np.float16)
    drawing = batches.Batches(latents, some)
    shapes = set()
    for seed in range(8):
        clean, captions, _ = drawing.draw(np.random.default_rng(seed))
        is_portrait = clean.shape[-2:] == (16, 12)
        assert bool((clean == float(is_portrait)).all())
        assert set(captions) == {"a", "b"}
        shapes.add(tuple(clean.shape))
    assert shapes == {(32, 8, 16, 12), (32, 8, 12, 16)}


def stamped(domain, numbers):
    return {"numbers": np.array(numbers), "text": np.array(f"{domain} from {numbers[0]}")}


def test_only_the_shards_that_are_missing_are_rendered(tmp_path, capsys):
    wanted = {"general": 2, "fashion": 1}
    assert not shards.are_rendered(tmp_path, wanted)
    shards.render(tmp_path, wanted, stamped, workers=1)
    (tmp_path / "pictures" / "general-001.npz").unlink()
    capsys.readouterr()
    shards.render(tmp_path, wanted, stamped, workers=1)
    assert capsys.readouterr().out == "rendered general-001\n"
    assert shards.are_rendered(tmp_path, wanted)
    first, second = shards.load(tmp_path, "general", range(2))
    assert (len(first["numbers"]), second["numbers"][0], str(second["text"])) == (1000, 1000, "general from 1000")


def test_the_refiner_learns_from_photographs_alone():
    lines = [
        ["A pizza.", "A pizza with olives on a plate."],
        ["A cartoon.", "A woman wears a red shirt."],
        ["A photo. She wears a red shirt.", "A photo of a woman wearing a red shirt."],
        ["A photograph. Her neckline is lapel.", "A photograph of a woman with a lapel neckline."],
    ]
    portrait = np.array([True] * 40)
    pictures = corpus.Corpus(np.zeros((40, 9216), np.uint8), portrait, np.zeros((40, 6), np.int16), lines * 10)
    assert pictures.photographs[:4].tolist() == [True, False, True, True]
    drawn = batches.Batches(np.zeros((40, 8 * 16 * 12), np.float16), pictures, photographs_alone=True)
    assert {number % 4 for number in drawn.portraits} == {0, 2, 3}
    assert [corpus.PHOTOGRAPH.sub("", line[-1]) for line in lines[2:]] == [
        "a woman wearing a red shirt.",
        "a woman with a lapel neckline.",
    ]
