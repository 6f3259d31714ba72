"""Builds networks of the true architecture and size with random weights, from configs alone: for rehearsals.

Filling them from one pool of normal draws takes seconds, where drawing each of SDXL's 5.6e9 weights takes minutes.
"""

import math
import string
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from accelerate import init_empty_weights
from torch import Tensor, nn

from fashion_sweep.models.clip_tokenizers import clip_tokenizer
from fashion_sweep.storage.files import read_json

POOL_SIZE = 2**24 + 3
SEED = 0
EMBEDDING_STD = 0.02


def random_pipeline(family: Any, folder: Path, dtype: Mapping[str, torch.dtype], **given: Any) -> Any:
    """Builds a pipeline of `family` as `folder/model_index.json` describes it.

    Args:
        family: diffusers' class.
        folder: with the configs of its components.
        dtype: of each component by name, and of the others under `default`.
        given: components that are there already.
    """
    parts = dict(given)
    for name, entry in read_json(folder / "model_index.json").items():
        if name in parts or name.startswith("_"):
            continue
        if not isinstance(entry, list):
            parts[name] = entry
        elif entry[0] is not None:
            parts[name] = random_part(name, entry[1], folder / name, dtype.get(name, dtype["default"]))
        else:
            parts[name] = None
    return family(**parts)


def random_part(name: str, kind: str, folder: Path, dtype: torch.dtype) -> Any:
    """Builds one part of a pipeline, of the class that is named, as its folder's configs describe it."""
    if kind.removesuffix("Fast") in STAND_INS:
        family = getattr(transformers, kind)
        return family.from_pretrained(folder) if folder.is_dir() else STAND_INS[kind.removesuffix("Fast")](name)
    if hasattr(transformers, kind):
        family = getattr(transformers, kind)
        config = family.config_class.from_pretrained(folder)
        return random_network(lambda: family(config), name, dtype)
    family = getattr(diffusers, kind)
    if not issubclass(family, nn.Module):
        return family.from_pretrained(folder)
    config = family.load_config(folder)
    return random_network(lambda: family.from_config(config), name, dtype)


def t5_tokenizer(name: str) -> Any:
    """Builds what splits captions into letters, in place of T5's tokenizer, whose vocabulary no package carries."""
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    return transformers.T5Tokenizer(vocab=[*special, *((letter, -3.0) for letter in string.printable.strip())])


STAND_INS = {"CLIPTokenizer": clip_tokenizer, "T5Tokenizer": t5_tokenizer}
"""What makes a tokenizer for a part of a pipeline that has no files of it."""


def random_network(build: Any, name: str, dtype: torch.dtype) -> nn.Module:
    """Builds a network by `build` on the CPU, with weights that keep the variance; the same each time."""
    with init_empty_weights(include_buffers=False):
        network: nn.Module = build().eval()
    pool = torch.randn(POOL_SIZE, generator=torch.Generator().manual_seed(SEED)).to(dtype)
    for layer_name, layer in network.named_modules():
        for key, parameter in [*layer.named_parameters(recurse=False)]:
            values = torch.empty(parameter.shape, dtype=dtype)
            if parameter.ndim < 2:
                values.fill_(1.0 if key == "weight" else 0.0)  # of a norm, or a bias
            else:
                embeds = isinstance(layer, nn.Embedding)
                std = EMBEDDING_STD if embeds else 1 / math.sqrt(parameter[0].numel())
                _fill(values, pool, std, zlib.crc32(f"{name}.{layer_name}.{key}".encode()))
            setattr(layer, key, nn.Parameter(values))
        for key, buffer in layer.named_buffers(recurse=False):
            setattr(layer, key, buffer.to(dtype) if buffer.is_floating_point() else buffer)
    if isinstance(network, transformers.PreTrainedModel):
        network.tie_weights()
    return network


def _fill(values: Tensor, pool: Tensor, std: float, offset: int) -> None:
    """Fills `values` with the pool from `offset` on, over and over."""
    flat, done, position = values.view(-1), 0, offset % len(pool)
    while done < len(flat):
        count = min(len(flat) - done, len(pool) - position)
        torch.mul(pool[position : position + count], std, out=flat[done : done + count])
        done, position = done + count, 0
