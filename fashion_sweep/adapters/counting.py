"""Counts an adapter's parameters from the configs of a model's components, without weights or torch."""

from functools import cache, lru_cache

from fashion_sweep.config.placed_adapter import AdapterOptions
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.doors import ADAPTER_KINDS, ARCHITECTURES
from fashion_sweep.errors import ConfigError

Targets = tuple[str, ...] | None
"""The names of linear layers to adapt; None: those that the architecture names."""
Widths = dict[str, tuple[int, int]]
"""The input and output width of layers by their names."""


def count_parameters(base: str, spec: TrialSpec, targets: Targets = None) -> int:
    """Counts the trainable parameters of `spec` on `base`, a model as presets name it.

    Raises:
        ConfigError: a component that is to be adapted has none of the target modules, or the model lacks one of them.
    """
    _check_targets(spec.architecture, base, targets)
    return sum(
        _count(spec.architecture, base, component, one.kind, one.options, targets)
        for component, one in spec.adapted.items()
    )


@lru_cache
def _check_targets(architecture: str, base: str, targets: Targets) -> None:
    family = ARCHITECTURES[architecture]
    names = [name for part in family.components for name in family.layers(base, part).linear] if targets else []
    for target in targets or ():
        if not any(f".{name}".endswith(f".{target}") for name in names):
            raise ConfigError(f"target_modules: the model has no linear layer named {target}")


@cache
def _count(architecture: str, base: str, component: str, kind: str, options: AdapterOptions, targets: Targets) -> int:
    count: int = ADAPTER_KINDS[kind].count(target_layers(architecture, base, component, targets), options)
    return count


@lru_cache
def target_layers(architecture: str, base: str, component: str, targets: Targets = None) -> Widths:
    """Returns the linear layers of a component that are adapted: those whose names end in one of `targets`.

    Raises:
        ConfigError: it has none of them.
    """
    family = ARCHITECTURES[architecture]
    suffixes = tuple(f".{target}" for target in targets or family.target_modules(component))
    linear: Widths = family.layers(base, component).linear
    layers = {name: widths for name, widths in linear.items() if f".{name}".endswith(suffixes)}
    if not layers:
        raise ConfigError(f"target_modules: {component} has no linear layer named {' or '.join(targets or ())}")
    return layers
