"""Adapter files as other tools read them: diffusers' file, peft's folders, kohya's for ComfyUI, Forge and others.

The architecture names the layers in each format, and the kind of adapter names their parts. Tensors are the same in
all three, and alphas are not multiplied in, but for kohya's where they differ.
"""

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from fashion_sweep.adapters.kind import AdapterKind, LayerTensors
from fashion_sweep.adapters.metadata import kinds_in
from fashion_sweep.adapters.prompt_tokens import VECTORS
from fashion_sweep.adapters.settings import scaling_of, usual_alpha
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.doors import ADAPTER_KINDS, ARCHITECTURES
from fashion_sweep.errors import ConfigError, DataError
from fashion_sweep.models.architecture import Architecture
from fashion_sweep.storage.files import write_json, write_tensors

ADAPTER_FILE = "pytorch_lora_weights.safetensors"
WORDS_FILE = "learned_embeds.safetensors"
PEFT_FILE = "adapter_model.safetensors"
CONFIG_KEY = "lora_adapter_metadata"
"""The metadata key under which diffusers keeps the values of each component's `LoraConfig`, as JSON."""


@dataclass(frozen=True)
class SavedAdapter:
    """The content of an adapter file that this package wrote."""

    tensors: Mapping[tuple[str, str, str], np.ndarray]
    """The trained tensors by component, layer and part."""
    configs: Mapping[str, Mapping[str, Any]]
    """The settings of each component's adapter, as peft has them."""
    metadata: Mapping[str, str]
    """All other metadata of the file."""

    @property
    def layers(self) -> dict[tuple[str, str], dict[str, np.ndarray]]:
        """The trained tensors of each layer, by component and layer, by part."""
        layers: dict[tuple[str, str], dict[str, np.ndarray]] = {}
        for (component, layer, part), values in self.tensors.items():
            layers.setdefault((component, layer), {})[part] = values
        return layers

    def with_base(self, base_model: str) -> "SavedAdapter":
        """Returns the same adapter with the name of the base model in its settings."""
        named = {part: {**config, "base_model_name_or_path": base_model} for part, config in self.configs.items()}
        return replace(self, configs=named)

    @cached_property
    def kinds(self) -> dict[tuple[str, str], AdapterKind]:
        """The kind of adapter of each layer, by component and layer: the first that it says which has its parts."""
        return {
            (component, layer): next(
                kind
                for kind in map(ADAPTER_KINDS.__getitem__, kinds_in(self.metadata, component))
                if set(parts) <= set(kind.spellings)
            )
            for (component, layer), parts in self.layers.items()
        }

    @property
    def of_weights(self) -> "SavedAdapter":
        """What of it changes weights, without the words that it has learnt."""
        return self._those(lambda kind: not kind.has_own_file)

    @property
    def of_words(self) -> "SavedAdapter":
        """The words that it has learnt."""
        return self._those(lambda kind: kind.has_own_file)

    @property
    def tokens(self) -> dict[str, str]:
        """The word that stands for learned tokens, by text encoder."""
        return {part: config[VECTORS]["token"] for part, config in self.of_words.configs.items()}

    def _those(self, wanted: Callable[[AdapterKind], bool]) -> "SavedAdapter":
        tensors = {key: values for key, values in self.tensors.items() if wanted(self.kinds[key[:2]])}
        others = {name for kind in self.kinds.values() if not wanted(kind) for name in kind.settings}
        configs = {
            component: {name: value for name, value in config.items() if name not in others}
            for component, config in self.configs.items()
            if any(owner == component for owner, _, _ in tensors)
        }
        return replace(self, tensors=tensors, configs=configs)


def holds_tokens(keys: Collection[str]) -> bool:
    """Tells whether a file with these keys is one of textual inversion, for any architecture."""
    known: list[Architecture] = [ARCHITECTURES[name] for name in ARCHITECTURES.names]
    return bool(keys) and any(set(keys) <= set(one.embedding_keys.values()) for one in known)


def count_saved(path: Path) -> int:
    """Counts the trained values in an adapter file of any of our formats; kohya's alphas are settings."""
    with safe_open(path, "np") as file:
        trained = [name for name in file.keys() if not name.endswith(".alpha")]  # noqa: SIM118
        return sum(math.prod(file.get_slice(name).get_shape()) for name in trained)


def read_metadata(path: Path) -> dict[str, str]:
    """Reads the strings that an adapter file carries beside its tensors."""
    with safe_open(path, "np") as file:
        return dict(file.metadata() or {})


def read_adapter(path: Path) -> SavedAdapter:
    """Reads an adapter as training saved it.

    Raises:
        DataError: the file is no adapter as training writes it.
    """
    kinds: list[AdapterKind] = [ADAPTER_KINDS[name] for name in ADAPTER_KINDS.names]
    parts = {f".{ending}": part for kind in kinds for part, ending in _endings(kind, "diffusers").items()}
    configs: dict[str, dict[str, Any]] = {}
    tensors: dict[tuple[str, str, str], np.ndarray] = {}
    with safe_open(path, "np") as file:
        metadata = dict(file.metadata() or {})
        for key, value in json.loads(metadata.pop(CONFIG_KEY, "{}")).items():
            component, _, name = key.partition(".")
            configs.setdefault(component, {})[name] = value
        for key in file.keys():  # noqa: SIM118
            component, _, rest = key.partition(".")
            ending = next((one for one in parts if rest.endswith(one)), None)
            if component not in configs or ending is None:
                raise DataError(f"{path} is no adapter as training here writes it")
            tensors[component, rest.removesuffix(ending), parts[ending]] = file.get_tensor(key)
    metadata.pop("format", None)
    return SavedAdapter(tensors, configs, metadata)


def write_diffusers(path: Path, adapter: SavedAdapter, architecture: Architecture, metadata: Mapping[str, str]) -> None:
    """Writes one file for `pipeline.load_lora_weights`."""
    flat = {f"{part}.{key}": value for part, config in adapter.configs.items() for key, value in config.items()}
    tensors = _named(adapter, architecture, "diffusers")
    _save(path, tensors, {**metadata, CONFIG_KEY: json.dumps(flat, indent=2, sort_keys=True)})


def write_peft(folder: Path, adapter: SavedAdapter, architecture: Architecture, metadata: Mapping[str, str]) -> None:
    """Writes a folder for each component, for `PeftModel.from_pretrained(component, folder)`."""
    for component, config in adapter.configs.items():
        of_component = {key: values for key, values in adapter.tensors.items() if key[0] == component}
        tensors = _named(replace(adapter, tensors=of_component, configs={component: config}), architecture, "peft")
        _save(folder / component / PEFT_FILE, tensors, metadata)
        write_json(folder / component / "adapter_config.json", {**config, "inference_mode": True})


def write_kohya(path: Path, adapter: SavedAdapter, architecture: Architecture, metadata: Mapping[str, str]) -> None:
    """Writes one file in the names of the base model's own checkpoint, each layer with its alpha.

    Raises:
        ConfigError: these names have no place for a layer.
    """
    scaled: dict[tuple[str, str, str], np.ndarray] = {}
    alphas: dict[str, np.ndarray] = {}
    for (component, layer), tensors in adapter.layers.items():
        settings = adapter.configs[component]
        own, usual = LayerTensors({}, **scaling_of(layer, settings)), usual_alpha(settings)
        tensors, alpha = adapter.kinds[component, layer].for_kohya(tensors, own.scale(), usual or 1.0)
        scaled |= {(component, layer, part): values.astype(np.float32) for part, values in tensors.items()}
        alphas[f"{_name(architecture, component, layer, 'kohya')}.alpha"] = np.array(alpha, dtype=np.float32)
    _save(path, _named(replace(adapter, tensors=scaled), architecture, "kohya") | alphas, metadata)


def write_words(path: Path, adapter: SavedAdapter, architecture: Architecture, metadata: Mapping[str, str]) -> None:
    """Writes the learned tokens as a file of textual inversion, for `pipeline.load_textual_inversion` and ComfyUI."""
    tensors = {architecture.embedding_keys[component]: values for (component, _, _), values in adapter.tensors.items()}
    _save(path, tensors, metadata)


FORMATS: Mapping[str, Callable[[Path, SavedAdapter, Architecture, Mapping[str, str]], None]] = {
    "diffusers": write_diffusers,
    "peft": write_peft,
    "kohya": write_kohya,
}
"""The functions that write an adapter to a path, by format; the path is a folder for `peft`."""


def formats_of(spec: TrialSpec) -> list[str]:
    """Returns the formats in which the trial's adapters can be written."""
    kinds: list[AdapterKind] = [ADAPTER_KINDS[one.kind] for one in spec.adapters]
    architecture: Architecture = ARCHITECTURES[spec.architecture]
    return [name for name in architecture.formats if all(name in kind.formats or kind.has_own_file for kind in kinds)]


def check_format(name: str, adapter: SavedAdapter, architecture: Architecture) -> None:
    """Checks that the format has a place for the adapter's kind and names for the base model's layers.

    Raises:
        ConfigError: it has not.
    """
    for kind in adapter.kinds.values():
        if name not in kind.formats and not kind.has_own_file:
            raise ConfigError(f"--format {name}: has no place for {kind.title}; take {_others(kind.formats)}")
    if name not in architecture.formats:
        raise ConfigError(
            f"--format {name}: has no names for layers of {architecture.name}; take {_others(architecture.formats)}"
        )


def _others(names: Any) -> str:
    return f"--format {' or '.join(names)}"


def _name(architecture: Architecture, component: str, layer: str, file_format: str) -> str:
    name = architecture.saved_name(component, layer, file_format)
    if name is None:
        raise ConfigError(
            f"--format {file_format}: has no name for the layer {component}.{layer}; take --format diffusers or peft, "
            "or train without it in target_modules"
        )
    return name


def _endings(kind: AdapterKind, file_format: str) -> Mapping[str, str]:
    """Returns the endings of tensors' keys; in a run's folder, a kind that diffusers does not read has peft's."""
    return kind.formats.get(file_format, kind.formats["peft"])


def _named(adapter: SavedAdapter, architecture: Architecture, file_format: str) -> dict[str, np.ndarray]:
    """Returns the tensors by their keys in a file of that format."""
    endings = {place: _endings(kind, file_format) for place, kind in adapter.kinds.items()}
    return {
        f"{_name(architecture, component, layer, file_format)}.{endings[component, layer][part]}": values
        for (component, layer, part), values in adapter.tensors.items()
    }


def _save(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Saves every value bit for bit, with sorted names, so that the same adapter gives the same file."""
    for name, values in tensors.items():
        assert math.isfinite(float(np.abs(values).max(initial=0))), f"{name} is not finite"
    write_tensors(path, tensors, {"format": "pt", **metadata})
