"""Adapter files as the trainers of Stable Diffusion XL spell them, each tensor with its place in a model or refused.

diffusers' own tables leave out what they do not know with a warning, or without, and give some layers the alpha of
others; so what is not in the names of the model's modules already is put into them here. Key schemes: as `formats.py`,
those of diffusers before peft, and kohya's with diffusers' block names.
"""

import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from fashion_sweep.adapters.formats import CONFIG_KEY, unet_name
from fashion_sweep.errors import ConfigError

Place = tuple[str, str]
"""Component and layer."""
PARTS = {
    **dict.fromkeys((".lora_A", ".lora_down", ".lora.down", ".lora_linear_layer.down", "_lora.down"), "A"),
    **dict.fromkeys((".lora_B", ".lora_up", ".lora.up", ".lora_linear_layer.up", "_lora.up"), "B"),
}
KEY = re.compile(rf"(?P<stem>.+?)((?P<part>{'|'.join(map(re.escape, PARTS))})\.weight|\.alpha)")
DORA = re.compile(r".*\.(dora_scale|lora_magnitude_vector)(\.\w+)*")
UNDERSCORED = {"unet": ("lora_unet_",), "text_encoder": ("lora_te1_", "lora_te_"), "text_encoder_2": ("lora_te2_",)}
OLD_ATTENTION = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}


@dataclass
class Found:
    """The tensors of a layer by their keys in the file; None: not there."""

    A: str | None = None
    B: str | None = None
    alpha: str | None = None


def read_layers(path: Path, components: Mapping[str, nn.Module]) -> dict[Place, Found]:
    """Where each tensor of an adapter file belongs in `components`. Values and shapes are judged, too.

    Raises:
        ConfigError: the file is no LoRA, or not whole, or has no place in the model; without the file's name.
    """
    stems = _stems(components)
    found: dict[Place, Found] = {}
    with safe_open(path, "pt") as file:
        keys = sorted(file.keys())
        parsed = {key: KEY.fullmatch(key) for key in keys}
        _check_places(keys, [key for key, parts in parsed.items() if parts is None or parts["stem"] not in stems])
        for key, parts in parsed.items():
            assert parts
            layer = found.setdefault(stems[parts["stem"]], Found())
            part = PARTS[parts["part"]] if parts["part"] else "alpha"
            if (other := getattr(layer, part)) is not None:
                raise ConfigError(f"{other} and {key} are for one place")
            setattr(layer, part, key)
        for (component, name), layer in found.items():
            _check_values(file, layer, name, tuple(components[component].get_parameter(f"{name}.weight").shape))
    return found


def attach_file(path: Path, pipeline: Any, components: Mapping[str, nn.Module]) -> None:
    """Lets diffusers put the adapter file on the pipeline's components, every layer of it.

    Raises:
        ConfigError: as `read_layers`.
    """
    with as_modules_are_named(path, components) as (file, places):
        pipeline.load_lora_weights(file.parent, weight_name=file.name, use_safetensors=True)
    attached = {
        (component, name)
        for component, module in components.items()
        for name, layer in module.named_modules()
        if isinstance(layer, BaseTunerLayer)
    }
    if lost := attached ^ places:
        pipeline.unload_lora_weights()
        raise ConfigError(f"{path}: diffusers does not place {'.'.join(min(lost))} as the file has it")


@contextmanager
def as_modules_are_named(path: Path, components: Mapping[str, nn.Module]) -> Iterator[tuple[Path, set[Place]]]:
    """The adapter file for diffusers to load, while the block runs, and the layers that it adapts.

    Raises:
        ConfigError: as `read_layers`.
    """
    found = read_layers(path, components)
    if all(_is_as_modules_are_named(place, layer) for place, layer in found.items()):
        yield path, set(found)
        return
    with tempfile.TemporaryDirectory(prefix="fashion-sweep-") as folder, safe_open(path, "pt") as file:
        tensors, sizes = {}, {}
        for (component, name), layer in found.items():
            down, up = file.get_tensor(layer.A), file.get_tensor(layer.B)
            tensors[f"{component}.{name}.lora_A.weight"], tensors[f"{component}.{name}.lora_B.weight"] = down, up
            alpha = file.get_tensor(layer.alpha).item() if layer.alpha else len(down)
            sizes[component, name] = len(down), alpha
        translated = Path(folder) / path.with_suffix(".safetensors").name
        save_file(tensors, translated, {"format": "pt", CONFIG_KEY: json.dumps(_configs(sizes))})
        yield translated, set(found)


def _is_as_modules_are_named(place: Place, layer: Found) -> bool:
    """But for the `text_model.` that text encoders' names have, or lack, as transformers' version has it."""
    own = ".".join(place).replace(".text_model.", ".", 1)
    named = [f"{key}".replace(".text_model.", ".", 1) for key in (layer.A, layer.B)]
    return layer.alpha is None and named == [f"{own}.lora_A.weight", f"{own}.lora_B.weight"]


def _configs(sizes: Mapping[Place, tuple[int, float]]) -> dict[str, Any]:
    """Values of peft's `LoraConfig` by component; what most layers have, and what the others have by pattern."""
    values: dict[str, Any] = {}
    for component in dict.fromkeys(part for part, _ in sizes):
        own = {name: size for (part, name), size in sizes.items() if part == component}
        rank, alpha = (Counter(values).most_common(1)[0][0] for values in zip(*own.values(), strict=True))
        values |= {
            f"{component}.r": rank,
            f"{component}.lora_alpha": alpha,
            f"{component}.rank_pattern": {f"^{name}": r for name, (r, _) in own.items() if r != rank},
            f"{component}.alpha_pattern": {f"^{name}": a for name, (_, a) in own.items() if a != alpha},
            f"{component}.target_modules": sorted(own),
        }
    return values


def _check_places(keys: list[str], lost: list[str]) -> None:
    if not keys:
        raise ConfigError("it holds no layers")
    if dora := next(filter(DORA.fullmatch, keys), None):
        raise ConfigError(f"{dora} is of a DoRA, which cannot be drawn; only LoRA can")
    if lost:
        verb = "has" if len(lost) == 1 else "have"
        raise ConfigError(f"the model has no place for {lost[0]} ({len(lost)} of {len(keys)} tensors {verb} none)")


def _check_values(file: Any, layer: Found, name: str, wanted: tuple[int, ...]) -> None:
    """Each tensor by itself first, then the layer as a whole."""
    shapes = {part: file.get_slice(key).get_shape() for part, key in vars(layer).items() if key}
    for part, axis in (("A", 1), ("B", 0)):
        own = shapes.get(part)
        if own is None:
            continue
        rest = wanted[2:] if part == "A" else (1,) * (len(wanted) - 2)
        if len(own) != len(wanted) or tuple(own[2:]) != rest or 0 in own:
            raise ConfigError(f"{getattr(layer, part)} has the shape {own}, for which a layer of {wanted} has no place")
        if own[axis] != wanted[axis]:
            raise ConfigError(f"{name} is {wanted[axis]} wide in the model and {own[axis]} in the adapter")
    for key in vars(layer).values():
        if key and not torch.isfinite(file.get_tensor(key).float()).all():
            raise ConfigError(f"{key} holds values that are not finite")
    if layer.A is None or layer.B is None:
        raise ConfigError(f"{layer.A or layer.B or layer.alpha} has no counterpart: {name} needs both of its halves")
    if shapes["A"][0] != shapes["B"][1]:
        raise ConfigError(f"{layer.A} has the rank {shapes['A'][0]}, and {layer.B} {shapes['B'][1]}")
    if layer.alpha and (torch.Size(shapes["alpha"]).numel() != 1 or file.get_tensor(layer.alpha).item() <= 0):
        raise ConfigError(f"{layer.alpha} must be one number above 0")


def _stems(components: Mapping[str, nn.Module]) -> dict[str, Place]:
    """Every name that a trainer may have for a layer."""
    names: dict[str, Place] = {}
    for component, module in components.items():
        for layer, part in module.named_modules():
            if not isinstance(part, nn.Linear | nn.Conv2d):
                continue
            plain = layer if component == "unet" else layer.removeprefix("text_model.")
            spelled = {plain, layer} if component == "unet" else {plain, layer, f"text_model.{plain}"}
            stems = {f"{component}.{name}" for name in spelled} | {f"{component}.{name}" for name in _old(plain)}
            stems |= {
                f"{prefix}{name}".replace(".", "_")
                for prefix in UNDERSCORED[component]
                for name in spelled - ({plain} if component != "unet" else set())
            }
            if component == "unet" and (name := unet_name(layer)):
                stems.add(name.replace(".", "_"))
            names |= dict.fromkeys(stems, (component, layer))
    return names


def _old(layer: str) -> list[str]:
    """As attention processors were named."""
    head, _, last = layer.rpartition(".")
    if found := re.fullmatch(r"(.+\.attn[12])\.(to_[qkv]|to_out)(\.0)?", layer):
        return [f"{found[1]}.processor.{found[2]}"]
    if last in OLD_ATTENTION:
        return [f"text_model.{head}.{OLD_ATTENTION[last]}"]
    return []
