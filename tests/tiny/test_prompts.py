"""The sample prompts of the tiny preset are in the embedded world's own words."""

import re
from itertools import pairwise
from unittest.mock import MagicMock

import numpy as np
import pytest

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.named_files import SWEEPS
from fashion_sweep.tiny import captions, scenes
from fashion_sweep.tiny.materials import COLORS
from fashion_sweep.tiny.wardrobe import dress_up

JOINTS = {"sleeves with", "patterns and"}
"""Where a prompt of the study goes on in one sentence and the world's captions begin another."""


def pairs(text):
    """Neighbours within a sentence."""
    sentences = [re.findall(r"[a-z0-9-]+", sentence) for sentence in text.lower().split(".")]
    return {f"{first} {second}" for words in sentences for first, second in pairwise(words)}


@pytest.fixture(scope="module")
def said():
    """Neighbouring words in captions of many figures and scenes, also with their colours left out."""
    rng = np.random.default_rng(0)
    outfits = [dress_up(rng) for _ in range(3000)]
    texts = [caption(outfit, rng) for outfit in outfits for caption in (captions.detailed, captions.short)]
    texts += [text for painter in scenes.PLACES for _ in range(40) for text in painter(MagicMock(), 0.0, rng)]
    texts += [re.sub(rf"\b({'|'.join(COLORS)}) ", "", text) for text in texts]
    return {pair for text in texts for pair in pairs(text)}


@pytest.mark.parametrize("sweep", sorted(path.stem for path in SWEEPS.glob("*.yaml")))
def test_sample_prompts_say_only_what_the_embedded_world_says(said, sweep):
    prompts = load_run_config(sweep, "tiny").sweep.sample_prompts
    assert prompts
    assert {pair for prompt in prompts for pair in pairs(prompt.prompt)} - said - JOINTS == set()


def test_the_studys_tank_shirt_would_be_noticed(said):
    prompts = load_run_config("exp1", "sdxl").sweep.sample_prompts
    assert {pair for prompt in prompts for pair in pairs(prompt.prompt)} - said == {"tank shirt"}
