"""Reads files of textual inversion: learned tokens by text encoder, as trainers of SDXL write them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import nn

from fashion_sweep.adapters.kind import AdapterKind, LayerTensors
from fashion_sweep.adapters.learned_tokens import Words
from fashion_sweep.adapters.metadata import tokens_in
from fashion_sweep.adapters.prompt_tokens import PROMPT_TOKENS, VECTORS
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.architecture import Architecture

TARGETS = PROMPT_TOKENS.targets or ()


def load_tokens(
    path: Path,
    architecture: Architecture,
    components: Mapping[str, nn.Module],
    tokens: Callable[[str, str], Sequence[int]],
) -> list[tuple[str, AdapterKind, dict[str, LayerTensors]]]:
    """Loads learned tokens, to be fused as `reading.load_layers` returns them.

    Args:
        path: the file. Its word is the one in its metadata, or else its name, as in ComfyUI and Forge.
        architecture: of the model.
        components: its modules.
        tokens: `Model.token_row`.

    Raises:
        ConfigError: it has no place in the model; without the file's name.
    """
    loaded: list[tuple[str, AdapterKind, dict[str, LayerTensors]]] = []
    component_of = {key: component for component, key in architecture.embedding_keys.items()}
    with safe_open(path, "pt") as file:
        told = tokens_in(file.metadata() or {})
        for key in sorted(file.keys()):
            component = component_of.get(key)
            if component is None:
                raise ConfigError(f"the model has no place for {key}")
            layer, embedding = _embedding(components[component])
            shape = tuple(file.get_slice(key).get_shape())
            PROMPT_TOKENS.check_shapes(layer, {VECTORS: key}, {VECTORS: shape}, tuple(embedding.weight.shape))
            vectors = file.get_tensor(key).float()
            if not vectors.isfinite().all():
                raise ConfigError(f"{key} holds values that are not finite")
            words = Words.of(told.get(component, path.stem), False, partial(tokens, component))
            layers = {layer: LayerTensors({VECTORS: vectors}, None, settings={VECTORS: words.as_settings()})}
            loaded.append((component, PROMPT_TOKENS, layers))
    return loaded


def _embedding(module: nn.Module) -> tuple[str, Any]:
    """Returns the embedding of a text encoder's words, with its name."""
    return next((name, one) for name, one in module.named_modules() if name.rpartition(".")[2] in TARGETS)
