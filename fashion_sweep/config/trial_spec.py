"""Trials: which placements of the base model carry which adapters, and which trials meet a budget of parameters."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fashion_sweep.config.placed_adapter import PlacedAdapter
from fashion_sweep.doors import ARCHITECTURES
from fashion_sweep.errors import ConfigError, did_you_mean

DEFAULT_ARCHITECTURE = ARCHITECTURES.default
"""The architecture of presets that name none."""
TRAINING_AXES = {
    "learning_rate": "lr",
    "lora_alpha": "alpha",
    "epochs": "epochs",
    "steps": "steps",
    "target_modules": "targets",
}
"""Keys of the preset's training that a trial may set for itself, with their short names in its id."""
BASE_MODEL = "base-model"
NEAREST = 3
LONGEST_ID = 100
"""The most characters of a trial's id, which becomes a folder's name and part of longer ones."""


@dataclass(frozen=True)
class TrialSpec:
    """One configuration, trained once: which placements carry which adapters, with which training.

    Without any adapter it is the base model.
    """

    adapters: tuple[PlacedAdapter, ...]
    """The adapters, in the order in which the architecture lists their placements."""
    training: tuple[tuple[str, Any], ...] = ()
    """The settings of `TRAINING_AXES` that the trial has for itself; all else is the preset's."""
    replicate: int = 0
    """The number added to the preset's seed, where the same configuration is trained several times."""
    item: str = ""
    """The name of the one thing trained on, where the task is about single things; empty for a data set."""
    architecture: str = DEFAULT_ARCHITECTURE
    """The base model's architecture, by its name in `doors.ARCHITECTURES`."""

    @classmethod
    def of(cls, values: Mapping[str, Any], architecture: str = DEFAULT_ARCHITECTURE, replicate: int = 0) -> "TrialSpec":
        """Reads the trial that a sweep file describes with `values`, a mapping from placements to adapters.

        Raises:
            ValueError: an adapter is of no kind that there is, or its options do not fit.
        """
        placed = [PlacedAdapter.read(name, value) for name, value in values.items() if name not in TRAINING_AXES]
        order = [*ARCHITECTURES[architecture].placements]
        adapters = sorted(
            filter(None, placed),
            key=lambda one: order.index(one.placement) if one.placement in order else len(order),
        )
        training = {
            name: tuple(value) if isinstance(value := values[name], list) else value
            for name in TRAINING_AXES
            if name in values and adapters
        }
        return cls(tuple(adapters), tuple(training.items()), replicate, architecture=architecture)

    @property
    def adapter_values(self) -> dict[str, Any]:
        """The trial's adapters by placement, as sweep files have them."""
        return {one.placement: one.value for one in self.adapters}

    @property
    def values(self) -> dict[str, Any]:
        """All that a sweep file says of the trial."""
        return self.adapter_values | {key: list(v) if isinstance(v, tuple) else v for key, v in self.training}

    @property
    def configuration(self) -> "TrialSpec":
        """The configuration that the trial's replicates have in common."""
        return replace(self, replicate=0)

    @property
    def trial_id(self) -> str:
        """The trial's name in folders, tables and commands, for instance `unet-r4-lr0.001`."""
        if self.item:
            return self.item
        adapters = [one.tag for one in self.adapters] or [BASE_MODEL]
        training = [TRAINING_AXES[name] + _short(value, "_") for name, value in self.training]
        name = "-".join([*adapters, *training, *([f"seed{self.replicate}"] if self.replicate else [])])
        if len(name) <= LONGEST_ID:
            return name
        digest = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
        return f"{name[: LONGEST_ID - 9]}-{digest}"

    @property
    def title(self) -> str:
        """The trial's name for readers, for instance `UNet rank 4, lr 0.001`."""
        if self.item:
            return self.item
        placements = ARCHITECTURES[self.architecture].placements
        titles = {
            one.placement: getattr(placements.get(one.placement), "title", one.placement) for one in self.adapters
        }
        adapters = [f"{titles[one.placement]} {one.label}" for one in self.adapters] or ["base model"]
        training = [f"{TRAINING_AXES[name]} {_short(value, ' ')}" for name, value in self.training]
        return ", ".join([*adapters, *training, *([f"seed +{self.replicate}"] if self.replicate else [])])

    @property
    def adapted(self) -> dict[str, PlacedAdapter]:
        """The adapter of each component of the model that carries one, by the component's name."""
        placements = ARCHITECTURES[self.architecture].placements
        return {part: one for one in self.adapters for part in placements[one.placement].components}

    @property
    def is_base_model(self) -> bool:
        """Whether the trial adapts nothing."""
        return not self.adapters

    @property
    def trains_conditioning(self) -> bool:
        """Whether captions pass through an adapter, so that they cannot be encoded once for all steps."""
        text = ARCHITECTURES[self.architecture].text_components
        return any(component in text for component in self.adapted)


def _short(value: Any, joint: str) -> str:
    return joint.join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"


def placement_error(names: Sequence[str], architecture: str) -> str | None:
    """Returns why a trial cannot adapt these placements together: one is unknown, or two share a component."""
    placements = ARCHITECTURES[architecture].placements
    if unknown := next((name for name in names if name not in placements), None):
        return f"{unknown!r} is no part of this model{did_you_mean(unknown, [*placements, *TRAINING_AXES])}"
    parts = [part for name in names for part in placements[name].components]
    doubled = next((part for part in parts if parts.count(part) > 1), None)
    return f"{doubled!r} is given two adapters" if doubled else None


@dataclass(frozen=True)
class ParameterRange:
    """Parameter counts from `low` to `high`, both included."""

    low: float
    high: float

    @classmethod
    def around(cls, parameters: int, tolerance: float) -> "ParameterRange":
        """Returns the interval around a count; `tolerance` is a share of it, for instance 0.1."""
        return cls(parameters * (1 - tolerance), parameters * (1 + tolerance))

    def __str__(self) -> str:
        return f"{self.low:,.0f} to {self.high:,.0f} parameters"

    def distance(self, parameters: int) -> float:
        """Returns how far a count lies outside; 0 inside."""
        return max(self.low - parameters, parameters - self.high, 0.0)


def within(specs: Iterator[TrialSpec], count: Callable[[TrialSpec], int], budget: ParameterRange) -> list[TrialSpec]:
    """Returns the trials whose parameters lie in the budget, the smallest first.

    Raises:
        ConfigError: none does; names the nearest.
    """
    counted = sorted(((spec, count(spec)) for spec in specs), key=lambda item: item[1])
    feasible = [spec for spec, parameters in counted if not budget.distance(parameters)]
    if not feasible:
        nearest = sorted(counted, key=lambda item: budget.distance(item[1]))[:NEAREST]
        named = "; ".join(f"{spec.title} with {parameters:,}" for spec, parameters in nearest)
        raise ConfigError(f"space.budget: no placement has {budget}; the nearest: {named}")
    return feasible
