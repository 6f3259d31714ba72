"""What is asked of a family of base models before any of its weights are there. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Placement:
    """A part of a base model that can carry an adapter."""

    title: str
    """In titles, for instance `UNet`."""
    components: tuple[str, ...]
    """Of the model, that it stands for."""


class Architecture(Protocol):
    """A family of base models, by the name that presets give as `model.architecture`."""

    name: str
    components: tuple[str, ...]
    """Modules that can carry an adapter, in the order in which they are listed."""
    placements: Mapping[str, Placement]
    """By the names that sweeps use."""

    def target_modules(self, component: str) -> tuple[str, ...]:
        """Names of the linear layers of `component` that are adapted unless a preset names others."""
