"""How many parameters an adapter has, from the configs of a model's components: no weights.

Apart from `lora.py`, whose libraries take seconds to import.
"""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from fashion_sweep.config.trial_spec import COMPONENTS, TrialSpec
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.sdxl.layers import Layers, clip_layers, unet_layers
from fashion_sweep.storage.files import read_json

if TYPE_CHECKING:
    from torch import nn

UNET_PROJECTIONS = ("to_q", "to_k", "to_v", "to_out.0")
TEXT_ENCODER_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")

Targets = tuple[str, ...] | None
"""Names of linear layers; None: the projections above."""


def target_modules(component: str, targets: Targets = None) -> tuple[str, ...]:
    """Query, key, value and output projections of every attention module, unless `targets` are given."""
    return targets or (UNET_PROJECTIONS if component == "unet" else TEXT_ENCODER_PROJECTIONS)


def count_parameters(base: str, spec: TrialSpec, targets: Targets = None) -> int:
    """Trainable parameters of `spec` on `base` (folder or hub id).

    Raises:
        ConfigError: a component that is to be adapted has none of the target modules, or the model not one of them.
    """
    for target in targets or ():
        if not any(f".{name}".endswith(f".{target}") for part in COMPONENTS for name in layers_of(base, part).linear):
            raise ConfigError(f"target_modules: the model has no linear layer named {target}")
    return sum(rank * parameters_per_rank(base, part, targets) for part, rank in spec.component_ranks.items())


@lru_cache
def parameters_per_rank(base: str, component: str, targets: Targets = None) -> int:
    """Sum of input and output widths of the component's target modules: what one unit of rank costs.

    Raises:
        ConfigError: it has none of them.
    """
    suffixes = tuple(f".{target}" for target in target_modules(component, targets))
    linear = layers_of(base, component).linear
    parameters = sum(sum(widths) for name, widths in linear.items() if f".{name}".endswith(suffixes))
    if not parameters:
        raise ConfigError(f"target_modules: {component} has no linear layer named {' or '.join(targets or ())}")
    return parameters


def component_parameters(base: str, component: str) -> int:
    """All parameters of the component, the frozen ones."""
    return layers_of(base, component).parameters


@lru_cache
def layers_of(base: str, component: str) -> Layers:
    """Read off the component's config where that is one of SDXL's, in milliseconds; else off the network itself."""
    config = read_json(Path(base) / component / "config.json")
    known = None
    if config is not None:
        known = unet_layers(config) if component == "unet" else clip_layers(config, component == "text_encoder_2")
    return known or built_layers(base, component)


def built_layers(base: str, component: str) -> Layers:
    """Of the network as its library builds it on the meta device."""
    from torch import nn

    network = _build_on_meta(base, component)
    linear = {
        name: (layer.in_features, layer.out_features)
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear)
    }
    return Layers(linear, sum(parameter.numel() for parameter in network.parameters()))


def _build_on_meta(base: str, component: str) -> "nn.Module":
    import torch

    with torch.device("meta"):
        if component == "unet":
            from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

            return UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(base, subfolder="unet"))
        from transformers.models.clip import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

        family = CLIPTextModelWithProjection if component == "text_encoder_2" else CLIPTextModel
        return family(CLIPTextConfig.from_pretrained(base, subfolder=component))
