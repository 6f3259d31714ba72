"""Reads adapter files as trainers write them: each tensor gets its place in a model, or is refused by its key.

The libraries' own tables leave out what they do not know with a warning, or without, and give some layers the alpha of
others. The architecture knows the names of a layer, and the kind of adapter those of its parts.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import nn

from fashion_sweep.adapters.formats import CONFIG_KEY
from fashion_sweep.adapters.kind import AdapterKind, LayerTensors
from fashion_sweep.adapters.metadata import kinds_in
from fashion_sweep.adapters.settings import peft_settings, scaling_of
from fashion_sweep.doors import ADAPTER_KINDS
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.architecture import Architecture
from fashion_sweep.models.quantization import weight_shape

Place = tuple[str, str]
"""A component and a layer of it."""
ALPHA = "alpha"


@dataclass
class FileLayer:
    """The content of an adapter file for one layer of the model."""

    keys: dict[str, str] = field(default_factory=dict)
    """The keys in the file by part; `alpha` among them where the layer has its own."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The settings that the file has for the layer's component, as peft has them; empty where there are none."""

    @property
    def parts(self) -> set[str]:
        return set(self.keys) - {ALPHA}


def misfit(path: Path, architecture: Architecture, components: Mapping[str, nn.Module]) -> str | None:
    """Returns why the adapter file cannot be drawn with a model of these components; None where it can."""
    try:
        read_layers(path, architecture, components)
    except ConfigError as error:
        return str(error)
    return None


def read_layers(
    path: Path, architecture: Architecture, components: Mapping[str, nn.Module]
) -> dict[Place, tuple[AdapterKind, FileLayer]]:
    """Finds the place of each tensor of an adapter file in `components`, and checks values and shapes.

    Raises:
        ConfigError: the file is no adapter, or not whole, or has no place in the model; without the file's name.
    """
    stems = _stems(architecture, components)
    parts, key_of = _endings()
    layers: dict[Place, FileLayer] = {}
    with safe_open(path, "pt") as file:
        keys = sorted(file.keys())
        matches = {key: key_of.fullmatch(key) for key in keys}
        endings = {match["ending"] for match in matches.values() if match}
        metadata = file.metadata() or {}
        settings = peft_settings(metadata.get(CONFIG_KEY, "{}"), {parts[one] for one in endings})
        _check_places(keys, [key for key, match in matches.items() if match is None or match["stem"] not in stems])
        for key, match in matches.items():
            assert match
            place, part = stems[match["stem"]], parts[match["ending"]]
            layer = layers.setdefault(place, FileLayer(settings=settings.get(place[0], {})))
            if part in layer.keys:
                raise ConfigError(f"{layer.keys[part]} and {key} are for one place")
            layer.keys[part] = key
        kinds = _kinds_of(layers, metadata)
        for (component, name), layer in layers.items():
            weight = weight_shape(components[component].get_submodule(name))
            _check_values(file, kinds[component, name], layer, name, weight)
    return {place: (kinds[place], layer) for place, layer in layers.items()}


def load_layers(
    path: Path, places: Mapping[Place, tuple[AdapterKind, FileLayer]]
) -> list[tuple[str, AdapterKind, dict[str, LayerTensors]]]:
    """Loads the tensors that `read_layers` placed: for each component and kind of adapter, the tensors by layer."""
    loaded: dict[tuple[str, str], tuple[str, AdapterKind, dict[str, LayerTensors]]] = {}
    with safe_open(path, "pt") as file:
        for (component, name), (kind, layer) in places.items():
            tensors = {part: file.get_tensor(layer.keys[part]) for part in layer.parts}
            scaling = scaling_of(name, layer.settings)
            if ALPHA in layer.keys:
                scaling |= {"alpha": file.get_tensor(layer.keys[ALPHA]).item(), "rank_stabilized": False}
            values = LayerTensors(tensors, **scaling, settings=layer.settings)
            loaded.setdefault((component, kind.name), (component, kind, {}))[2][name] = values
    return [*loaded.values()]


def _endings() -> tuple[dict[str, str], re.Pattern[str]]:
    """Returns the parts of all kinds by the ending of their keys, and the pattern that takes a key apart."""
    kinds = [ADAPTER_KINDS[name] for name in ADAPTER_KINDS.names]
    parts = {ending: part for kind in kinds for part, endings in kind.spellings.items() for ending in endings}
    parts[f".{ALPHA}"] = ALPHA
    longest_first = sorted(parts, key=len, reverse=True)
    return parts, re.compile(rf"(?P<stem>.+?)(?P<ending>{'|'.join(map(re.escape, longest_first))})")


def _stems(architecture: Architecture, components: Mapping[str, nn.Module]) -> dict[str, Place]:
    """Returns the place of a layer by every name that a trainer may have for it."""
    return {
        name: (component, layer)
        for component, module in components.items()
        for layer, part in module.named_modules()
        if isinstance(part, nn.Linear | nn.Conv2d | nn.Embedding)
        for name in architecture.spellings(component, layer)
    }


def _check_places(keys: list[str], lost: list[str]) -> None:
    if not keys:
        raise ConfigError("it holds no layers")
    if lost:
        verb = "has" if len(lost) == 1 else "have"
        raise ConfigError(f"the model has no place for {lost[0]} ({len(lost)} of {len(keys)} tensors {verb} none)")


def _kinds_of(layers: Mapping[Place, FileLayer], metadata: Mapping[str, str]) -> dict[Place, AdapterKind]:
    """Returns for each layer the kind that has every part which the file holds of its component's weights, or of its
    words: the first that there is, but of files that say their kinds the first of these.

    Raises:
        ConfigError: there is none.
    """
    kinds: list[AdapterKind] = [ADAPTER_KINDS[name] for name in ADAPTER_KINDS.names]
    of_words = set[str]().union(*(kind.spellings for kind in kinds if kind.has_own_file))
    groups: dict[tuple[str, bool], list[Place]] = {}
    for place, layer in layers.items():
        groups.setdefault((place[0], bool(layer.parts & of_words)), []).append(place)
    found: dict[Place, AdapterKind] = {}
    for (component, _), places in groups.items():
        parts = set[str]().union(*(layers[place].parts for place in places))
        said = [ADAPTER_KINDS[name] for name in kinds_in(metadata, component)]
        kind = next((kind for kind in said if parts <= set(kind.spellings)), None)
        if kind is None:
            key = next(iter(layers[places[0]].keys.values()))
            raise ConfigError(f"{key} and what is beside it are of different kinds of adapters")
        found |= dict.fromkeys(places, kind)
    return found


def _check_values(file: Any, kind: AdapterKind, layer: FileLayer, name: str, weight: tuple[int, ...]) -> None:
    """Checks the tensors of a layer: each by itself first, then the layer as a whole."""
    shapes = {part: tuple(file.get_slice(key).get_shape()) for part, key in layer.keys.items()}
    kind.check_shapes(name, layer.keys, shapes, weight)
    for key in layer.keys.values():
        if not torch.isfinite(file.get_tensor(key).float()).all():
            raise ConfigError(f"{key} holds values that are not finite")
    if lacking := kind.lacks(layer.parts):
        raise ConfigError(f"{next(iter(layer.keys.values()))} has no counterpart: {name} needs {lacking}")
    if (key := layer.keys.get(ALPHA, "")) and (math.prod(shapes[ALPHA]) != 1 or file.get_tensor(key).item() <= 0):
        raise ConfigError(f"{key} must be one number above 0")
