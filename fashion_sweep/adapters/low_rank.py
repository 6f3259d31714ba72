"""Low-rank adapters on torch modules: attaches them by peft, collects them for files, puts them into weights."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, inject_adapter_in_model
from torch import Tensor, nn

from fashion_sweep.adapters import wrapping
from fashion_sweep.adapters.dropout import SampleDropout
from fashion_sweep.adapters.kind import LayerTensors, Parts
from fashion_sweep.models.quantization import plain_weight
from fashion_sweep.rng import key, torch_generator

ALPHA = "lora_alpha"
"""What peft's `LoraConfig` calls alpha."""
DRAWN = ("default", "gaussian")
"""The starts whose A is drawn and whose B is zero."""
TAKES_OVER = ("pissa", "olora")
"""The starts that take their product out of the layer's weight."""


def attach(
    module: nn.Module, component: str, config: Mapping[str, Any], starts: Mapping[str, str], seed: int
) -> dict[str, nn.Parameter]:
    """Adds a low-rank product to the layers that `config`, values of peft's `LoraConfig`, names.

    By default B is zero, and A is drawn per module from (seed, module name) by Kaiming's uniform rule, as peft does:
    the same module starts alike at each rank up to its size, whatever else is adapted.

    starts: how that of each layer starts, by peft's names.
    """
    inject_adapter_in_model(LoraConfig(**config), module)
    for name, start in starts.items():
        layer: Any = module.get_submodule(name)
        if start in TAKES_OVER:
            weight = layer.get_base_layer().weight
            layer.weight_before = weight.data, weight.detach().clone()
        if start not in DRAWN:
            _start_as_peft_does(layer, start, key(seed, "lora/init", component, name))
    parameters: dict[str, nn.Parameter] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            layer_name = next(end for end in _ends_at_front(name) if end in starts)
            if starts[layer_name] in DRAWN:
                value = _initial_value(f"{component}.{name}", parameter, starts[layer_name], seed)
                parameter.data = value.to(parameter.device)
            parameters[f"{component}.{name}"] = parameter
    for name, start in starts.items():
        layer = module.get_submodule(name)
        if start in TAKES_OVER:
            layer.taken_over = {part: one["default"].weight.detach().clone() for part, one in _halves(layer).items()}
    return parameters


def drop_out(module: nn.Module, component: str, dropouts: Mapping[str, float], seed: int) -> None:
    """Puts a dropout of these probabilities before A, by the names of layers that `attach` has wrapped."""
    for name, probability in dropouts.items():
        layer: Any = module.get_submodule(name)
        layer.lora_dropout["default"] = SampleDropout(probability, key(seed, "lora/dropout", component, name))


def weight_before(layer: Any) -> Tensor:
    """Returns the weight that a layer had before `attach` has wrapped it."""
    return layer.weight_before[1] if hasattr(layer, "weight_before") else plain_weight(layer.get_base_layer())


def _start_as_peft_does(layer: Any, start: str, seed: int) -> None:
    """Starts the adapter of a linear layer; `pissa` and `olora` take their part out of the layer's weight."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        match start:
            case "orthogonal":
                layer.orthogonal_init("default")
            case "pissa":
                layer.pissa_init("default", "pissa")
            case "olora":
                layer.olora_init("default")
    for one in _halves(layer).values():
        weight = one["default"].weight
        device = layer.get_base_layer().weight.device
        one["default"].weight = nn.Parameter(weight.detach().to(device, torch.float32).contiguous())


def _halves(layer: Any) -> dict[str, Any]:
    return {"A": layer.lora_A, "B": layer.lora_B}


def _ends_at_front(name: str) -> Iterator[str]:
    words = name.split(".")
    return (".".join(words[:count]) for count in range(len(words), 0, -1))


def _initial_value(name: str, parameter: Tensor, start: str, seed: int) -> Tensor:
    value = torch.zeros(parameter.shape, dtype=torch.float32)
    if ".lora_A." in name:
        generator = torch_generator(seed, "lora/init", name)
        if start == "gaussian":
            nn.init.normal_(value, std=1 / len(value), generator=generator)
        else:
            nn.init.kaiming_uniform_(value, a=math.sqrt(5), generator=generator)
    return value


def collect(module: nn.Module, endings: Mapping[str, str]) -> tuple[Parts, dict[str, Any]]:
    """Returns the trained tensors by layer and part, and the values of peft's `LoraConfig` as JSON has them.

    Args:
        module: as `attach` left it.
        endings: of the names that peft gives to the parts.
    """
    tensors, settings = wrapping.collect(module, endings)
    twice = {name for name, layer in module.named_modules() if hasattr(layer, "taken_over")}
    for name in twice:
        layer: Any = module.get_submodule(name)
        first = {part: value.float().cpu().numpy() for part, value in layer.taken_over.items()}
        tensors[name, "A"] = np.concatenate([tensors[name, "A"], first["A"]])
        tensors[name, "B"] = np.concatenate([tensors[name, "B"], -first["B"]], axis=1)
    if twice:
        ranks, alphas = (
            {
                name: getattr(layer, what)["default"] * (1 + (name in twice))
                for name, layer in wrapping.wrapped(module).items()
            }
            for what in ("r", "lora_alpha")
        )
        settings = settings | wrapping.ranked(module, ranks, alphas, ALPHA)
    return tensors, settings


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
    """Returns the factor of the product."""
    return layer.scale(len(layer.tensors["A"]))
