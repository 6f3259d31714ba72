"""Adapters: attach, save, read. The one place that translates our spec into peft's and diffusers' words.

Source: Hu et al., LoRA (2021), https://arxiv.org/abs/2106.09685; output is W x + (lora_alpha / rank) B A x.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open
from torch import Tensor, nn

from fashion_sweep.adapters.counting import target_modules
from fashion_sweep.adapters.formats import CONFIG_KEY, SavedAdapter, write_diffusers
from fashion_sweep.adapters.metadata import PREFIX
from fashion_sweep.adapters.spellings import read_layers
from fashion_sweep.config.preset import TrainingConfig
from fashion_sweep.config.search_space import LARGEST_RANK
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.model import Model
from fashion_sweep.rng import torch_generator

TOLD = {"r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_modules", "use_rslora", "init_lora_weights"}
TOLD |= {"base_model_name_or_path", "peft_type", "peft_version", "inference_mode", "lora_dropout"}
"""Of a `LoraConfig`: what peft may be told by a stranger's file. How weights begin is nothing to a trained adapter."""
PATTERN = re.compile(r"\^?[\w.]+")


def attach(model: Model, spec: TrialSpec, config: TrainingConfig, seed: int) -> dict[str, nn.Parameter]:
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


def save(path: Path, model: Model, spec: TrialSpec, about: Mapping[str, str] | None = None) -> None:
    """Writes a file that `pipeline.load_lora_weights` takes, with rank, lora_alpha and base model in its metadata.

    Args:
        path: the file.
        model: the model that carries the adapter.
        spec: which components do.
        about: what else the file says of itself, as `about.own_keys` has it.
    """
    tensors: dict[tuple[str, str, str], np.ndarray] = {}
    configs: dict[str, dict[str, Any]] = {}
    base_model = (about or {}).get(f"{PREFIX}base_model")
    for component in spec.component_ranks:
        module: Any = model.components[component]
        for name, value in get_peft_model_state_dict(module).items():
            layer, half = re.fullmatch(r"(.+)\.lora_([AB])\.weight", name).groups()  # type: ignore[union-attr]
            tensors[component, layer, half] = value.detach().float().cpu().numpy()
        # transformers puts the component's folder on this disk there
        configs[component] = _metadata(module.peft_config["default"]) | {"base_model_name_or_path": base_model}
    write_diffusers(path, SavedAdapter(tensors, configs, {}), about or {})


def _metadata(config: LoraConfig) -> dict[str, Any]:
    """What diffusers needs to rebuild the LoraConfig; sets are not JSON."""
    values = {key: sorted(v) if isinstance(v, set) else v for key, v in config.to_dict().items()}
    return {key: getattr(value, "value", value) for key, value in values.items()}


def count_saved(path: Path) -> int:
    """Number of trained values in an adapter file of any of our formats; kohya's alphas are settings, not trained."""
    with safe_open(path, "pt") as file:
        trained = [name for name in file.keys() if not name.endswith(".alpha")]  # noqa: SIM118
        return sum(math.prod(file.get_slice(name).get_shape()) for name in trained)


def misfit(path: Path, model: Model) -> str | None:
    """Why the adapter file cannot be drawn with `model`; None where each of its tensors has its place there."""
    if reason := _strange(read_metadata(path).get(CONFIG_KEY, "{}")):
        return reason
    try:
        read_layers(path, model.components)
    except ConfigError as error:
        return str(error)
    return None


def _strange(configs: str) -> str | None:
    """What peft must not be asked for: a pattern in place of names may take for ever, a huge rank all memory."""
    try:
        values = dict(json.loads(configs)).items()
    except (ValueError, TypeError, RecursionError):
        return f"its {CONFIG_KEY} is no JSON object"
    usual = LoraConfig().to_dict()
    for key, value in values:
        field = key.rpartition(".")[2]
        ranks = value.values() if field == "rank_pattern" and isinstance(value, dict) else [value]
        if field in {"r", "rank_pattern"} and not all(type(r) is int and 0 < r <= LARGEST_RANK for r in ranks):
            return f"{key} is {str(value)[:80]}, no rank"
        if field in {"rank_pattern", "alpha_pattern"} and not all(map(PATTERN.fullmatch, value)):
            return f"{key} holds a pattern in place of names"
        alphas = value.values() if field == "alpha_pattern" and isinstance(value, dict) else [value]
        if field in {"lora_alpha", "alpha_pattern"} and not all(map(_is_number, alphas)):
            return f"{key} is {str(value)[:80]}, no number"
        if field == "target_modules" and not isinstance(value, list):
            return f"{key} is no list of names"
        if field not in TOLD and value and value != usual.get(field):
            return f"it asks for {key}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def read_metadata(path: Path) -> dict[str, str]:
    """The strings that an adapter file carries beside its tensors."""
    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})
