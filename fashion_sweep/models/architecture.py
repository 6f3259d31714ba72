"""What is asked of a family of base models before any of its weights are there. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True)
class Placement:
    """A part of a base model that can carry an adapter."""

    title: str
    """In titles, for instance `UNet`."""
    components: tuple[str, ...]
    """Of the model, that it stands for."""


@dataclass
class Layers:
    """What a network is made of."""

    linear: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Input and output width by the layer's name."""
    parameters: int = 0
    """Of all its layers, the linear ones included."""


class Architecture(Protocol):
    """A family of base models, by the name that presets give as `model.architecture`."""

    name: str
    components: tuple[str, ...]
    """Modules that can carry an adapter, in the order in which they are listed."""
    text_components: tuple[str, ...]
    """Those among them that read the caption: with an adapter there, captions cannot be encoded beforehand."""
    placements: Mapping[str, Placement]
    """By the names that sweeps use."""

    def target_modules(self, component: str) -> tuple[str, ...]:
        """Names of the linear layers of `component` that are adapted unless a preset names others."""

    def layers(self, base: str, component: str) -> Layers:
        """The layers of a component of the model that a preset calls `base`, without its weights.

        Raises:
            ConfigError: the model is nowhere, or something else.
        """
