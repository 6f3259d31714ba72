"""Builds byte-level BPE tokenizers in CLIP's manner, trained on captions."""

import json
from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer

VOCABULARY = 1024
CONTEXT = 77
"""The number of tokens of a caption, begin and end included."""
BEGIN, END = "<|startoftext|>", "<|endoftext|>"
BEGIN_ID, END_ID = VOCABULARY - 2, VOCABULARY - 1
WORD_END = "</w>"
Tokenizers = tuple[CLIPTokenizer, CLIPTokenizer]
"""The type of the tokenizers of both text encoders, which differ in what they pad with."""


def learn_merges(captions: Iterable[str]) -> list[tuple[str, str]]:
    """Returns at most `VOCABULARY - 514` merges, most useful first."""
    words = Counter(word for caption in captions for word in caption.lower().split())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 258,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        end_of_word_suffix=WORD_END,
        show_progress=False,
    )
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.train_from_iterator(sorted(words.elements()), trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(left, right) for left, right in merges[: VOCABULARY - 514]]


def build(merges: list[tuple[str, str]], pad_token: str = END) -> CLIPTokenizer:
    """Returns a tokenizer that covers every byte, within words and at their end, so that any text tokenizes.

    Ids: 256 bytes, 256 bytes that end a word, the merges, unused names, begin, end (`BEGIN_ID`, `END_ID`).
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(byte + WORD_END for byte in alphabet), *dict.fromkeys(a + b for a, b in merges)]
    tokens += [f"<|unused{i}|>" for i in range(BEGIN_ID - len(tokens))]
    vocabulary = {token: index for index, token in enumerate([*tokens, BEGIN, END])}
    assert len(vocabulary) == VOCABULARY, f"{len(vocabulary)} tokens"
    return CLIPTokenizer(vocab=vocabulary, merges=merges, pad_token=pad_token, model_max_length=CONTEXT)


def pair(merges: list[tuple[str, str]]) -> Tokenizers:
    return build(merges), build(merges, pad_token="!")
