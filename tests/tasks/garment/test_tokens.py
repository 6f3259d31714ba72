import pytest

from fashion_sweep.config.loading import load_preset
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.clip_tokenizers import clip_tokenizer
from fashion_sweep.tasks.garment.recipe import check_tokens
from fashion_sweep.tasks.garment.tokens import check_rare

CLIP = {"tokenizer": clip_tokenizer("tokenizer"), "tokenizer_2": clip_tokenizer("tokenizer_2")}


def test_the_study_s_words_are_rare_and_short_to_clip():
    found = check_rare(("sks", "ukj"), CLIP)
    assert all(len(pieces) <= 2 for word in found.values() for pieces in word.values())


@pytest.mark.parametrize("word", ["sweater", "red", "woman"])
def test_a_word_that_the_encoders_know_is_refused(word):
    with pytest.raises(ConfigError, match=f"token '{word}': is a word that tokenizer knows well"):
        check_rare((word,), CLIP)


@pytest.mark.parametrize(("word", "why"), [("xqzvbnkwp", "tokens to"), ("S K", "small letters"), ("", "small")])
def test_a_word_that_is_long_or_none_is_refused(word, why):
    with pytest.raises(ConfigError, match=why):
        check_rare((word,), CLIP)


@pytest.mark.parametrize("preset", ["tiny", "sdxl"])
def test_the_words_of_the_presets_may_be_used_with_their_models(preset):
    check_tokens(load_preset(preset, ()))


def test_one_word_cannot_stand_for_both():
    with pytest.raises(ConfigError, match="stands for the garment already"):
        check_tokens(load_preset("tiny", ["garment.attribute_token=sks"]))
