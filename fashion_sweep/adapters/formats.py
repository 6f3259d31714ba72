"""An adapter as other tools read it: diffusers' file, peft's folders, and kohya's file for ComfyUI, Forge and others.

Key schemes: diffusers, `load_lora_weights`; peft, `PeftModel.from_pretrained`; kohya-ss sd-scripts, whose names are
those of Stability's own SDXL checkpoint. Tensors are the same in all three; `lora_alpha` is not multiplied in.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from fashion_sweep.errors import ConfigError, DataError
from fashion_sweep.storage.files import write_json, write_tensors

FORMATS = ("diffusers", "peft", "kohya")
ADAPTER_FILE = "pytorch_lora_weights.safetensors"
PEFT_FILE = "adapter_model.safetensors"
CONFIG_KEY = "lora_adapter_metadata"
"""Where diffusers keeps the values of each component's `LoraConfig`, as JSON."""
TENSOR_NAME = re.compile(r"(?P<component>unet|text_encoder|text_encoder_2)\.(?P<layer>.+)\.lora_(?P<half>[AB])\.weight")
BLOCKS_APART = 3
"""Of Stability's numbering: SDXL's two layers a block, and one that changes the resolution."""
OUTSIDE_BLOCKS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
}
IN_RESNET = {
    "time_emb_proj": "emb_layers.1",
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
HALVES = {"A": "lora_down", "B": "lora_up"}


@dataclass(frozen=True)
class SavedAdapter:
    """What an adapter file of ours holds."""

    tensors: Mapping[tuple[str, str, str], np.ndarray]
    """By component, layer and half of the product: A is rank x inputs, B is outputs x rank."""
    configs: Mapping[str, Mapping[str, Any]]
    """Values of peft's `LoraConfig` by component."""
    metadata: Mapping[str, str]
    """Everything else that is said in the file."""

    @property
    def ranks(self) -> dict[str, int]:
        return {component: int(config["r"]) for component, config in self.configs.items()}

    def with_base(self, base_model: str) -> "SavedAdapter":
        named = {part: {**config, "base_model_name_or_path": base_model} for part, config in self.configs.items()}
        return SavedAdapter(self.tensors, named, self.metadata)


def read_adapter(path: Path) -> SavedAdapter:
    """Raises:
    DataError: it is no adapter as training here writes it.
    """
    with safe_open(path, "np") as file:
        metadata = dict(file.metadata() or {})
        parts = {name: TENSOR_NAME.fullmatch(name) for name in file.keys()}  # noqa: SIM118
        if CONFIG_KEY not in metadata or not all(parts.values()):
            raise DataError(f"{path} is no adapter as training here writes it")
        tensors = {
            (found["component"], _plain(found["component"], found["layer"]), found["half"]): file.get_tensor(name)
            for name, found in parts.items()
            if found
        }
    configs: dict[str, dict[str, Any]] = {}
    for key, value in json.loads(metadata.pop(CONFIG_KEY)).items():
        component, _, field = key.partition(".")
        configs.setdefault(component, {})[field] = value
    metadata.pop("format", None)
    return SavedAdapter(tensors, configs, metadata)


def write_diffusers(path: Path, adapter: SavedAdapter, metadata: Mapping[str, str]) -> None:
    """One file for `pipeline.load_lora_weights`."""
    tensors = {
        f"{component}.{_full(component, layer)}.lora_{half}.weight": values
        for (component, layer, half), values in adapter.tensors.items()
    }
    flat = {f"{part}.{key}": value for part, config in adapter.configs.items() for key, value in config.items()}
    _save(path, tensors, {**metadata, CONFIG_KEY: json.dumps(flat, indent=2, sort_keys=True)})


def write_peft(folder: Path, adapter: SavedAdapter, metadata: Mapping[str, str]) -> None:
    """A folder for each component, for `PeftModel.from_pretrained(component, folder)`.

    Its names are those of the modules as the transformers that trained them has them.
    """
    for component, config in adapter.configs.items():
        tensors = {
            f"base_model.model.{_full_in_peft(component, layer)}.lora_{half}.weight": values
            for (part, layer, half), values in adapter.tensors.items()
            if part == component
        }
        _save(folder / component / PEFT_FILE, tensors, metadata)
        write_json(folder / component / "adapter_config.json", {**config, "inference_mode": True})


def write_kohya(path: Path, adapter: SavedAdapter, metadata: Mapping[str, str]) -> None:
    """One file in the names of Stability's checkpoint, each layer with its alpha.

    Raises:
        ConfigError: these names have no place for a layer.
    """
    tensors: dict[str, np.ndarray] = {}
    for (component, layer, half), values in adapter.tensors.items():
        name = kohya_name(component, layer)
        tensors[f"{name}.{HALVES[half]}.weight"] = values
        tensors[f"{name}.alpha"] = np.array(adapter.configs[component]["lora_alpha"], dtype=np.float32)
    _save(path, tensors, metadata)


def kohya_name(component: str, layer: str) -> str:
    """`lora_unet_input_blocks_4_1_…`, `lora_te1_text_model_…` and so on.

    Raises:
        ConfigError: there is none.
    """
    name = unet_name(layer) if component == "unet" else _text_encoder_name(component, layer)
    if name is None:
        raise ConfigError(
            f"--format kohya: has no name for the layer {component}.{layer}; take --format diffusers or peft, "
            "or train without it in target_modules"
        )
    return name.replace(".", "_")


def _text_encoder_name(component: str, layer: str) -> str | None:
    found = re.fullmatch(r"encoder\.layers\.\d+\.(self_attn|mlp)\.\w+", _plain(component, layer))
    number = 2 if component == "text_encoder_2" else 1
    return f"lora_te{number}_text_model.{found[0]}" if found else None


def unet_name(layer: str) -> str | None:
    """Of a layer of SDXL's UNet in kohya's scheme, with dots; None: there is none.

    Stability numbers the blocks through, each a list of resnet, attention and change of resolution.
    """
    if layer in OUTSIDE_BLOCKS:
        return f"lora_unet_{OUTSIDE_BLOCKS[layer]}"
    if found := re.fullmatch(r"down_blocks\.(\d)\.downsamplers\.0\.conv", layer):
        return f"lora_unet_input_blocks.{(int(found[1]) + 1) * BLOCKS_APART}.0.op"
    if found := re.fullmatch(r"up_blocks\.(\d)\.upsamplers\.0\.conv", layer):
        return f"lora_unet_output_blocks.{(int(found[1]) + 1) * BLOCKS_APART - 1}.2.conv"
    side, block, kind, place, rest = "mid", "0", "", "0", ""
    if found := re.fullmatch(r"(down|up)_blocks\.(\d)\.(attentions|resnets)\.([0-2])\.(.+)", layer):
        side, block, kind, place, rest = found.groups()
    elif found := re.fullmatch(r"mid_block\.(attentions|resnets)\.([01])\.(.+)", layer):
        kind, place, rest = found.groups()
    if kind == "resnets":
        rest = IN_RESNET.get(rest, "")
    if not rest:
        return None
    if side == "mid":
        return f"lora_unet_middle_block.{1 if kind == 'attentions' else 2 * int(place)}.{rest}"
    first = int(block) * BLOCKS_APART + int(place)
    number = f"input_blocks.{first + 1}" if side == "down" else f"output_blocks.{first}"
    return f"lora_unet_{number}.{1 if kind == 'attentions' else 0}.{rest}"


def _plain(component: str, layer: str) -> str:
    """Without the `text_model.` that text encoders' names have, or lack, as transformers' version has it."""
    return layer if component == "unet" else layer.removeprefix("text_model.")


def _full(component: str, layer: str) -> str:
    """With it, which every version of diffusers and ComfyUI reads; the projection lies outside."""
    outside = component == "unet" or layer == "text_projection"
    return layer if outside else f"text_model.{_plain(component, layer)}"


def _full_in_peft(component: str, layer: str) -> str:
    return layer if component == "text_encoder" else _full(component, layer)


def _save(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Every value in bytes as it came; names sorted, so that the same adapter gives the same file."""
    for name, values in tensors.items():
        assert math.isfinite(float(np.abs(values).max(initial=0))), f"{name} is not finite"
    write_tensors(path, tensors, {"format": "pt", **metadata})
