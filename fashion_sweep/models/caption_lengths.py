"""How long captions are in the tokens of a base model's tokenizers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fashion_sweep.models.locate import locate

TOKENIZERS = ("tokenizer", "tokenizer_2")
CHUNK = 1024


@dataclass(frozen=True)
class TokenLengths:
    """Of captions with their begin and end."""

    tokenizer: str
    limit: int
    """What the text encoder takes."""
    shortest: int
    median: float
    longest: int
    cut: int
    """Captions that lose their end."""


def find_tokenizers(base: str) -> list[Path]:
    """The folders of the model's tokenizers, its own or in the hub's cache.

    Empty where they are not at hand: SDXL's are those of CLIP then, which open_clip carries.

    Raises:
        ConfigError: `base` is neither a model's folder nor a hub id.
    """
    location = locate(base, "model.base")
    folders = [Path(location) / name for name in TOKENIZERS]
    if not Path(location).exists():
        from huggingface_hub import try_to_load_from_cache

        found = [try_to_load_from_cache(location, f"{name}/tokenizer_config.json") for name in TOKENIZERS]
        folders = [Path(path).parent for path in found if isinstance(path, str)]
    return folders if folders and all(_is_tokenizer(folder) for folder in folders) else []


def open_tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(str(folder))


def caption_lengths(name: str, tokenizer: Any, counts: Mapping[str, int]) -> TokenLengths:
    """Of the captions in `counts`, each as often as it says there."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    lengths = np.repeat(_lengths(backend, list(counts)), list(counts.values()))
    limit = int(tokenizer.model_max_length)
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
