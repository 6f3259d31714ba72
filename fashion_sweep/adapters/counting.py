"""Counts an adapter's parameters from the configs of a model's components, without weights or torch."""

from functools import lru_cache
from itertools import groupby

from fashion_sweep.adapters.placing import Targets, placed_layers
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.doors import ADAPTER_KINDS, ARCHITECTURES
from fashion_sweep.errors import ConfigError

Shapes = dict[str, tuple[int, ...]]
"""The shapes of layers' weights by their names."""


@lru_cache(maxsize=4096)
def count_parameters(base: str, spec: TrialSpec, targets: Targets = None) -> int:
    """Counts the trainable parameters of `spec` on `base`, a model as presets name it.

    Raises:
        ConfigError: the model lacks a layer that is to be adapted, or two adapters are for the same one.
    """
    shapes = shapes_of(spec.architecture, base)
    _check_targets(shapes, targets)
    total = 0
    for component, placed in placed_layers(spec, shapes, targets).items():
        for one, names in groupby(placed, placed.__getitem__):
            layers = {name: shapes[component][name] for name in names}
            total += ADAPTER_KINDS[one.kind].count(layers, one.options)
    return total


@lru_cache
def shapes_of(architecture: str, base: str) -> dict[str, Shapes]:
    """Returns the shapes of the weights that can carry an adapter, by component and layer."""
    family = ARCHITECTURES[architecture]
    layers = {component: family.layers(base, component) for component in family.components}
    return {component: own.shapes | own.embeddings for component, own in layers.items()}


def _check_targets(shapes: dict[str, Shapes], targets: Targets) -> None:
    names = [name for of_component in shapes.values() for name in of_component]
    for target in targets or ():
        if not any(f".{name}".endswith(f".{target}") for name in names):
            raise ConfigError(f"target_modules: the model has no layer named {target}")
