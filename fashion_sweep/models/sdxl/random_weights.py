"""Builds networks of the true architecture and size with random weights, from configs alone: for rehearsals.

Filling them from one pool of normal draws takes seconds, where drawing each of SDXL's 5.6e9 weights takes minutes.
"""

import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import Tensor, nn

from fashion_sweep.models.sdxl.tokenizers import clip_tokenizer
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
            parts[name] = _component(name, entry[1], folder / name, dtype.get(name, dtype["default"]))
        else:
            parts[name] = None
    return family(**parts)


def _component(name: str, kind: str, folder: Path, dtype: torch.dtype) -> Any:
    if kind == "CLIPTokenizer":
        return transformers.CLIPTokenizer.from_pretrained(folder) if folder.is_dir() else clip_tokenizer(name)
    if hasattr(transformers, kind):
        family = getattr(transformers, kind)
        config = family.config_class.from_pretrained(folder)
        return random_network(lambda: family(config), name, dtype)
    family = getattr(diffusers, kind)
    if not issubclass(family, nn.Module):
        return family.from_pretrained(folder)
    config = family.load_config(folder)
    return random_network(lambda: family.from_config(config), name, dtype)


def random_network(build: Any, name: str, dtype: torch.dtype) -> nn.Module:
    """Builds a network by `build` on the CPU, with weights that keep the variance; the same each time."""
    with torch.device("meta"):
        network: nn.Module = build()
    network = nn.Module.to(network, dtype).to_empty(device="cpu").eval()  # diffusers' own `to` warns of nothing
    pool = torch.randn(POOL_SIZE, generator=torch.Generator().manual_seed(SEED)).to(dtype)
    for layer_name, layer in network.named_modules():
        for key, parameter in layer.named_parameters(recurse=False):
            if parameter.ndim < 2:
                parameter.data.fill_(1.0 if key == "weight" else 0.0)  # of a norm, or a bias
            else:
                embeds = isinstance(layer, nn.Embedding)
                std = EMBEDDING_STD if embeds else 1 / math.sqrt(parameter[0].numel())
                _fill(parameter.data, pool, std, zlib.crc32(f"{name}.{layer_name}.{key}".encode()))
        for key, buffer in layer.named_buffers(recurse=False):
            assert key == "position_ids", f"{name}.{layer_name} has a buffer {key} that nothing fills"
            buffer.copy_(torch.arange(buffer.shape[-1]).expand(buffer.shape))
    return network


def _fill(values: Tensor, pool: Tensor, std: float, offset: int) -> None:
    """Fills `values` with the pool from `offset` on, over and over."""
    flat, done, position = values.view(-1), 0, offset % len(pool)
    while done < len(flat):
        count = min(len(flat) - done, len(pool) - position)
        torch.mul(pool[position : position + count], std, out=flat[done : done + count])
        done, position = done + count, 0
