"""Low-rank adapters on torch modules: attaches them by peft, collects them for files, puts them into weights."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn

from fashion_sweep.adapters.kind import LayerTensors, Parts
from fashion_sweep.rng import torch_generator

Combine = Callable[[Tensor, LayerTensors, float], Tensor]
"""A function (weight, trained tensors, strength) → the weight with them, of its dtype and on its device."""


def attach(module: nn.Module, component: str, config: Mapping[str, Any], seed: int) -> dict[str, nn.Parameter]:
    """Adds a low-rank product to the layers that `config`, values of peft's `LoraConfig`, names. B is zero.

    A is drawn per module from (seed, module name) by Kaiming's uniform rule, peft's default: the same module
    starts alike at each rank up to its size, whatever else is adapted.
    """
    inject_adapter_in_model(LoraConfig(**config), module)
    parameters: dict[str, nn.Parameter] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            parameter.data = _initial_value(f"{component}.{name}", parameter, seed).to(parameter.device)
            parameters[f"{component}.{name}"] = parameter
    return parameters


def config(module: nn.Module, ranks: Mapping[str, int], alphas: Mapping[str, float]) -> dict[str, Any]:
    """Returns the values of peft's `LoraConfig` that give each of these layers, and no other, its rank and alpha."""
    (rank, rank_pattern), (alpha, alpha_pattern) = _pattern(module, ranks), _pattern(module, alphas)
    return {
        "r": rank,
        "lora_alpha": alpha,
        "target_modules": _short(module, ranks),
        "rank_pattern": rank_pattern,
        "alpha_pattern": alpha_pattern,
    }


def _pattern(module: nn.Module, values: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Returns the value that most layers have, and those of the others by the ends of their names."""
    (usual, _), *others = Counter(values.values()).most_common()
    alike = {value: [name for name, own in values.items() if own == value] for value, _ in others}
    return usual, {end: value for value, names in alike.items() for end in _short(module, names)}


def _short(module: nn.Module, names: Collection[str]) -> list[str]:
    """Returns the shortest ends of these modules' names that no other module's name ends in, as peft matches them."""
    names = set(names)
    others = {end for name, _ in module.named_modules() if name not in names for end in _ends(name)}
    return sorted({next(end for end in _ends(name) if end not in others) for name in names})


def _ends(name: str) -> Iterator[str]:
    words = name.split(".")
    return (".".join(words[-count:]) for count in range(1, len(words) + 1))


def detach(module: nn.Module) -> None:
    """Puts each layer that `attach` has wrapped back in its place."""
    wrapped = {name: layer for name, layer in module.named_modules() if isinstance(layer, BaseTunerLayer)}
    for name, layer in wrapped.items():
        parent, _, own = name.rpartition(".")
        setattr(module.get_submodule(parent), own, layer.get_base_layer())
    del module.peft_config


def _initial_value(name: str, parameter: Tensor, seed: int) -> Tensor:
    value = torch.zeros(parameter.shape, dtype=torch.float32)
    if ".lora_A." in name:
        nn.init.kaiming_uniform_(value, a=math.sqrt(5), generator=torch_generator(seed, "lora/init", name))
    return value


def collect(module: Any, endings: Mapping[str, str]) -> tuple[Parts, dict[str, Any]]:
    """Returns the trained tensors by layer and part, and the values of peft's `LoraConfig` as JSON has them.

    Args:
        module: as `attach` left it.
        endings: of the names that peft gives to the parts.
    """
    tensors = {
        (name.removesuffix(f".{ending}"), part): value.detach().float().cpu().numpy()
        for name, value in get_peft_model_state_dict(module).items()
        for part, ending in endings.items()
        if name.endswith(f".{ending}")
    }
    values = {key: sorted(v) if isinstance(v, set) else v for key, v in module.peft_config["default"].to_dict().items()}
    return tensors, {key: getattr(value, "value", value) for key, value in values.items()}


def fuse(
    module: nn.Module, layers: Mapping[str, LayerTensors], strength: float, combine: Combine
) -> Callable[[], None]:
    """Replaces the weights of the layers by what `combine` makes of them; the returned function puts them back."""
    weights = {name: module.get_parameter(f"{name}.weight") for name in layers}
    kept = {name: weight.detach().to("cpu", copy=True) for name, weight in weights.items()}

    def undo() -> None:
        for name, values in kept.items():  # subtracting what was added would leave rounding behind
            weights[name].data.copy_(values)

    for name, layer in layers.items():
        weights[name].data.copy_(combine(weights[name].detach(), layer, strength))
    return undo


def with_product(weight: Tensor, layer: LayerTensors, strength: float) -> Tensor:
    """Returns the weight plus the scaled product, computed in the weight's dtype as peft does."""
    return weight + product(weight, layer, scale(layer) * strength)


def product(weight: Tensor, layer: LayerTensors, factor: float) -> Tensor:
    """Returns `factor` B A in the shape of the weight; on a CPU computed in float32, as peft does."""
    down, up = (layer.tensors[part].to(weight.device, weight.dtype) for part in ("A", "B"))
    if weight.device.type == "cpu" and weight.dtype in (torch.float16, torch.bfloat16):
        down, up = down.float(), up.float()
    return ((up.flatten(1) @ down.flatten(1)) * factor).reshape(weight.shape).to(weight.dtype)


def scale(layer: LayerTensors) -> float:
    """Returns the factor of the product: alpha over the rank, or over its root; 1 where a file has no alpha."""
    rank = len(layer.tensors["A"])
    if layer.alpha is None:
        return 1.0
    return layer.alpha / (math.sqrt(rank) if layer.rank_stabilized else rank)
