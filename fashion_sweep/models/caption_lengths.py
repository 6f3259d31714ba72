"""Measures captions in the tokens of a base model's tokenizers."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fashion_sweep.models.architecture import TokenLengths
from fashion_sweep.models.clip_tokenizers import CONTEXT, clip_tokenizer

TOKENIZERS = ("tokenizer", "tokenizer_2")
CHUNK = 1024


def find_tokenizers(location: str) -> list[Path]:
    """Returns the folders of the tokenizers of CLIP's encoders, of a located model or in the hub's cache.

    The list is empty where they are not at hand: CLIP's own, which open_clip carries, stand in for them then.
    """
    folders = [Path(location) / name for name in TOKENIZERS]
    if not Path(location).exists():
        from huggingface_hub import try_to_load_from_cache

        cached = [try_to_load_from_cache(location, f"{name}/tokenizer_config.json") for name in TOKENIZERS]
        folders = [Path(path).parent for path in cached if isinstance(path, str)]
    return folders if folders and all(_is_tokenizer(folder) for folder in folders) else []


def caption_lengths(folders: Sequence[Path], counts: Mapping[str, int]) -> list[TokenLengths]:
    """Returns the token lengths of the captions in `counts` by each tokenizer.

    Args:
        folders: of the tokenizers; where there are none, CLIP's own are taken.
        counts: how often each caption occurs.
    """
    lengths: list[TokenLengths] = []
    vocabularies: list[dict[str, int]] = []
    for name, tokenizer in open_tokenizers(folders).items():
        vocabulary = tokenizer.get_vocab()
        if vocabulary in vocabularies:  # a model's two differ in nothing but what fills a short caption up
            lengths.append(replace(lengths[vocabularies.index(vocabulary)], tokenizer=name))
        else:
            lengths.append(_caption_lengths(name, tokenizer, counts))
        vocabularies.append(vocabulary)
    return lengths


def open_tokenizers(folders: Sequence[Path]) -> dict[str, Any]:
    """Opens the tokenizers of the folders by name; CLIP's own where there are no folders."""
    from transformers import CLIPTokenizer

    return {folder.name: CLIPTokenizer.from_pretrained(str(folder)) for folder in folders} or {
        name: clip_tokenizer(name) for name in TOKENIZERS
    }


def _caption_lengths(name: str, tokenizer: Any, counts: Mapping[str, int]) -> TokenLengths:
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    lengths = np.repeat(_lengths(backend, list(counts)), list(counts.values()))
    limit = min(int(tokenizer.model_max_length), CONTEXT)
    return TokenLengths(
        tokenizer=name,
        limit=limit,
        shortest=int(lengths.min()),
        median=float(np.median(lengths)),
        longest=int(lengths.max()),
        cut=int((lengths > limit).sum()),
    )


def _lengths(backend: object, captions: Sequence[str]) -> np.ndarray:
    encode = backend.encode_batch_fast  # type: ignore[attr-defined]
    parts = (captions[start : start + CHUNK] for start in range(0, len(captions), CHUNK))
    return np.fromiter((len(encoded.ids) for part in parts for encoded in encode(part)), np.int32, len(captions))


def _is_tokenizer(folder: Path) -> bool:
    whole = (folder / "tokenizer.json").is_file()
    return whole or ((folder / "vocab.json").is_file() and (folder / "merges.txt").is_file())
