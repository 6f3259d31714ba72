"""Adapters: attach, save, read. The one place that translates our spec into peft's and diffusers' words.

Source: Hu et al., LoRA (2021), https://arxiv.org/abs/2106.09685; output is W x + (lora_alpha / rank) B A x.
"""

import math
import re
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open
from torch import Tensor, nn

from fashion_sweep.config import TrainingConfig
from fashion_sweep.draws import torch_generator
from fashion_sweep.models.counting import target_modules
from fashion_sweep.models.family import Family
from fashion_sweep.space import TrialSpec


def attach(model: Family, spec: TrialSpec, config: TrainingConfig, seed: int) -> dict[str, nn.Parameter]:
    """Adds trainable float32 adapters and returns their parameters by name. B is zero, so the output is unchanged.

    A is drawn per module from (seed, module name) by Kaiming's uniform rule, peft's default: the same module
    starts alike at each rank up to its size, whatever else is adapted.
    """
    parameters: dict[str, nn.Parameter] = {}
    for component, rank in spec.component_ranks.items():
        module: Any = model.components[component]
        targets = target_modules(component, config.target_modules)
        module.add_adapter(LoraConfig(r=rank, lora_alpha=config.lora_alpha, target_modules=list(targets)))
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                parameter.data = _initial_value(f"{component}.{name}", parameter, seed).to(parameter.device)
                parameters[f"{component}.{name}"] = parameter
    return parameters


def _initial_value(name: str, parameter: Tensor, seed: int) -> Tensor:
    value = torch.zeros(parameter.shape, dtype=torch.float32)
    if ".lora_A." in name:
        nn.init.kaiming_uniform_(value, a=math.sqrt(5), generator=torch_generator(seed, "lora/init", name))
    return value


def save(path: Path, model: Family, spec: TrialSpec) -> None:
    """Writes a file that `pipeline.load_lora_weights` takes, with rank and lora_alpha in its metadata."""
    layers: dict[str, Any] = {}
    for component in spec.component_ranks:
        module: Any = model.components[component]
        layers[f"{component}_lora_layers"] = get_peft_model_state_dict(module)
        layers[f"{component}_lora_adapter_metadata"] = _metadata(module.peft_config["default"])
    StableDiffusionXLPipeline.save_lora_weights(path.parent, weight_name=path.name, **layers)


def _metadata(config: LoraConfig) -> dict[str, Any]:
    """What diffusers needs to rebuild the LoraConfig; sets are not JSON."""
    values = {key: sorted(v) if isinstance(v, set) else v for key, v in config.to_dict().items()}
    return {key: getattr(value, "value", value) for key, value in values.items()}


def count_saved(path: Path) -> int:
    """Number of values in an adapter file's tensors."""
    with safe_open(path, "pt") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def misfit(path: Path, model: Family) -> str | None:
    """The first tensor of the adapter that `model` has no place for, which diffusers would leave out with a warning.

    None where all fit, or where names are of another tool's making, which diffusers translates and judges.
    """
    layers = {
        f"{name}.{layer}": module for name, part in model.components.items() for layer, module in part.named_modules()
    }
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118
            parts = re.fullmatch(r"(?P<layer>.+)\.lora_(?P<half>[AB])\.weight", name)
            if parts is None:
                continue
            layer, axis = parts["layer"], "BA".index(parts["half"])
            weight = getattr(layers.get(layer), "weight", None)
            if weight is None:
                return f"the model has no layer {layer}"
            own = file.get_slice(name).get_shape()[axis]
            if own != weight.shape[axis]:
                return f"{layer} is {weight.shape[axis]} wide in the model and {own} in the adapter"
    return None


def read_metadata(path: Path) -> dict[str, str]:
    """The strings that an adapter file carries beside its tensors."""
    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})
