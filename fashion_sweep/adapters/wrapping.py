"""Wraps layers of torch modules by peft, takes the wrapping off again, and puts trained tensors into weights."""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import get_peft_model_state_dict
from torch import Tensor, nn
from torch.nn import functional

from fashion_sweep.adapters.kind import LayerTensors
from fashion_sweep.models.quantization import is_rounded, plain_weight
from fashion_sweep.rng import key

Combine = Callable[[Tensor, LayerTensors, float], Tensor]
"""A function (weight, trained tensors, strength) → the weight with them, of its dtype and on its device."""


def pattern(module: nn.Module, values: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Returns the value that most layers have, and those of the others by the ends of their names."""
    (usual, _), *others = Counter(values.values()).most_common()
    alike = {value: [name for name, own in values.items() if own == value] for value, _ in others}
    return usual, {end: value for value, names in alike.items() for end in shortest(module, names)}


def shortest(module: nn.Module, names: Collection[str]) -> list[str]:
    """Returns the shortest ends of these modules' names that no other module's name ends in, as peft matches them."""
    names = set(names)
    others = {end for name, _ in module.named_modules() if name not in names for end in _ends(name)}
    return sorted({next(end for end in _ends(name) if end not in others) for name in names})


def _ends(name: str) -> Iterator[str]:
    words = name.split(".")
    return (".".join(words[-count:]) for count in range(1, len(words) + 1))


def detach(module: nn.Module) -> None:
    """Puts each layer that `attach` has wrapped back in its place."""
    for name, layer in wrapped(module).items():
        parent, _, own = name.rpartition(".")
        base = layer.get_base_layer()
        if hasattr(layer, "weight_before"):
            storage, values = layer.weight_before
            base.weight.data = storage.copy_(values)
        setattr(module.get_submodule(parent), own, base)
    del module.peft_config


def wrapped(module: nn.Module) -> dict[str, Any]:
    """Returns the wrapped layers by name."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, BaseTunerLayer)}


def ranked(
    module: nn.Module, ranks: Mapping[str, int], alphas: Mapping[str, float], alpha: str = "alpha"
) -> dict[str, Any]:
    """Returns the values of peft's configuration that give each of these layers, and no other, its rank and alpha.

    alpha: what the configuration calls it.
    """
    (rank, rank_pattern), (usual, alpha_pattern) = pattern(module, ranks), pattern(module, alphas)
    return {
        "r": rank,
        alpha: usual,
        "target_modules": shortest(module, ranks),
        "rank_pattern": rank_pattern,
        "alpha_pattern": alpha_pattern,
    }


def start(module: nn.Module, component: str, seed: int, reset: Callable[[Any], None]) -> dict[str, nn.Parameter]:
    """Starts the adapter of each wrapped layer by `reset`, drawn by the layer's name, and returns what is trained."""
    for name, layer in wrapped(module).items():
        own = [one for one in layer.parameters() if one.requires_grad]
        devices = [one.device for one in own]
        for one in own:  # on the CPU, whose generator draws the same for all devices
            one.data = torch.empty(one.shape, dtype=torch.float32)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key(seed, "lora/init", component, name))
            reset(layer)
        for one, device in zip(own, devices, strict=True):
            one.data = one.data.to(device)
    return {f"{component}.{name}": one for name, one in module.named_parameters() if one.requires_grad}


def added(weight: Tensor, change: Tensor, factor: float) -> Tensor:
    """Returns the weight plus `factor` times a change of as many values, which is in float32."""
    return (weight.float() + factor * change.reshape(weight.shape)).to(weight.dtype)


def collect(module: Any, endings: Mapping[str, str]) -> tuple[dict[tuple[str, str], np.ndarray], dict[str, Any]]:
    """Returns the trained tensors by layer and part, and the values of peft's configuration as JSON has them.

    Args:
        module: a component whose layers are wrapped.
        endings: of the names that peft gives to the parts.
    """
    tensors = {
        (name.removesuffix(f".{ending}"), part): value.detach().float().cpu().numpy()
        for name, value in get_peft_model_state_dict(module).items()
        for part, ending in endings.items()
        if name.endswith(f".{ending}")
    }
    settings = module.peft_config["default"].to_dict()
    values = {key: sorted(v) if isinstance(v, set) else v for key, v in settings.items()}
    return tensors, {key: getattr(value, "value", value) for key, value in values.items()}


def fuse(
    module: nn.Module, layers: Mapping[str, LayerTensors], strength: float, combine: Combine
) -> Callable[[], None]:
    """Replaces the weights of the layers by what `combine` makes of them; the returned function puts them back.

    A layer whose weights are rounded to few bits keeps them: what an adapter changes is added to its output.
    """
    with ExitStack() as undoing:
        for name, layer in layers.items():
            adapted: Any = module.get_submodule(name)
            weight = plain_weight(adapted)
            combined = combine(weight, layer, strength)
            if is_rounded(adapted):
                undoing.callback(adapted.register_forward_hook(_adding(combined - weight)).remove)
            else:
                kept = weight.to("cpu", copy=True)  # subtracting what was added would leave rounding behind
                undoing.callback(adapted.weight.data.copy_, kept)
                adapted.weight.data.copy_(combined)
        return undoing.pop_all().close


def _adding(change: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def add(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + functional.linear(inputs[0].to(change.dtype), change).to(output.dtype)

    return add
