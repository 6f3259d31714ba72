"""How many parameters an adapter has, from the configs of a model's components: no weights.

Apart from `lora.py`, whose libraries take seconds to import.
"""

from functools import lru_cache

from fashion_sweep.config.trial_spec import COMPONENTS, TrialSpec
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.sdxl.layers import layers_of

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
