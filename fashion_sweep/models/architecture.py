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

    formats: tuple[str, ...]
    """Names of `adapters.formats.FORMATS` in which layers have names."""

    def target_modules(self, component: str) -> tuple[str, ...]:
        """Names of the linear layers of `component` that are adapted unless a preset names others."""

    def saved_name(self, component: str, layer: str, file_format: str) -> str | None:
        """The name of a layer in a file of that format, without the ending that tells its part; None: it has none.

        Args:
            component: of the model.
            layer: as the component or a file of an adapter has it.
            file_format: one of `formats`.
        """

    def spellings(self, component: str, layer: str) -> set[str]:
        """Every name that a trainer may give the layer in a file of an adapter."""

    def layers(self, base: str, component: str) -> Layers:
        """The layers of a component of the model that a preset calls `base`, without its weights.

        Raises:
            ConfigError: the model is nowhere, or something else.
        """
