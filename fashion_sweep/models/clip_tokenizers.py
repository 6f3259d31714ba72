"""CLIP's tokenizers, for models that come without their files, as single-file checkpoints do. Loads no torch."""

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
CONTEXT, SIZE = 77, 49_408
VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"
PAD_TOKENS = {"tokenizer": END, "tokenizer_2": "!"}


def clip_tokenizer(name: str) -> Any:
    """Builds SDXL's `tokenizer` or `tokenizer_2`, with CLIP's own vocabulary, which open_clip carries."""
    from transformers import CLIPTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    package = find_spec("open_clip")  # without importing it, and torch with it
    assert package is not None
    file = Path(package.origin or "").parent / VOCABULARY
    lines = gzip.decompress(file.read_bytes()).decode("utf-8").split("\n")
    characters = list(bytes_to_unicode().values())
    merges = [tuple(line.split()) for line in lines[1 : SIZE - 2 * len(characters) - 2 + 1]]
    words = [*characters, *(f"{character}</w>" for character in characters), *map("".join, merges), BEGIN, END]
    ids = {word: index for index, word in enumerate(words)}
    return CLIPTokenizer(vocab=ids, merges=merges, pad_token=PAD_TOKENS[name], model_max_length=CONTEXT)
