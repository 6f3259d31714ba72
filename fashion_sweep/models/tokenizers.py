"""CLIP's tokenizers where a model comes without their files, as a single-file checkpoint does."""

import gzip
from pathlib import Path
from typing import Any

BEGIN, END = "<|startoftext|>", "<|endoftext|>"
CONTEXT = 77
PAD_TOKENS = {"tokenizer": END, "tokenizer_2": "!"}


def clip_tokenizer(name: str) -> Any:
    """SDXL's `tokenizer` or `tokenizer_2`, with CLIP's own vocabulary, which open_clip carries."""
    import open_clip
    from transformers import CLIPTokenizer

    names = {"<start_of_text>": BEGIN, "<end_of_text>": END}
    vocabulary = [names.get(token, token) for token in open_clip.SimpleTokenizer().encoder]
    path = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode("utf-8").split("\n")
    merges = [tuple(line.split()) for line in lines[1 : len(vocabulary) - 2 * 256 - 2 + 1]]
    ids = {token: index for index, token in enumerate(vocabulary)}
    return CLIPTokenizer(vocab=ids, merges=merges, pad_token=PAD_TOKENS[name], model_max_length=CONTEXT)
