"""Trials: which placements of the base model carry which adapters, and which trials meet a budget of parameters."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fashion_sweep.config.model_part import ModelPart
from fashion_sweep.config.placed_adapter import PlacedAdapter
from fashion_sweep.config.training_axes import TRAINING_AXES, short_value, worded
from fashion_sweep.doors import ADAPTER_KINDS, ARCHITECTURES
from fashion_sweep.errors import did_you_mean

DEFAULT_ARCHITECTURE = ARCHITECTURES.default
"""The architecture of presets that name none."""
BASE_MODEL = "base-model"
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
            key=lambda one: (
                order.index(one.part.placement) if one.part.placement in order else len(order),
                one.placement,
            ),
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
        training = [TRAINING_AXES[name] + short_value(value, "_") for name, value in self.training]
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
        adapters = [f"{one.part.title(placements)} {one.label}" for one in self.adapters] or ["base model"]
        training = [worded(TRAINING_AXES[name], value) for name, value in self.training]
        return ", ".join([*adapters, *training, *([f"seed +{self.replicate}"] if self.replicate else [])])

    @property
    def components(self) -> tuple[str, ...]:
        """The components of the model that carry adapters."""
        placements = ARCHITECTURES[self.architecture].placements
        named = (name for one in self.adapters for name in placements[one.part.placement].components)
        return tuple(dict.fromkeys(named))

    @property
    def prompt_prefix(self) -> str:
        """What every caption and prompt of the trial begins with."""
        return "".join(dict.fromkeys(ADAPTER_KINDS[one.kind].prefix(one.options) for one in self.adapters))

    @property
    def words(self) -> tuple[str, ...]:
        """The words that the trial learns, as prompts have them."""
        words = (ADAPTER_KINDS[one.kind].word(one.options) for one in self.adapters)
        return tuple(dict.fromkeys(word for word in words if word))

    @property
    def is_base_model(self) -> bool:
        """Whether the trial adapts nothing."""
        return not self.adapters

    @property
    def trains_conditioning(self) -> bool:
        """Whether captions pass through an adapter, so that they cannot be encoded once for all steps."""
        text = ARCHITECTURES[self.architecture].text_components
        return any(component in text for component in self.components)


def placement_error(names: Sequence[str], architecture: str) -> str | None:
    """Returns why a trial cannot adapt these placements together, as far as it is known without the model's layers.

    One is unknown, or two of them are for a component of which one is the whole.
    """
    placements, parts = ARCHITECTURES[architecture].placements, [ModelPart(name) for name in names]
    if unknown := next((part for part in parts if part.placement not in placements), None):
        return f"{unknown.name!r} is no part of this model{_meant(unknown.placement, list(placements))}"
    if unclear := next((part for part in parts if not part.is_well_formed), None):
        return f"{unclear.name!r} is no part of a model; write for instance unet.up_blocks.0.attn2 or unet.attn1+ff"
    parts = [part for part in parts if not part.is_of_words]
    whole = [component for part in parts if not part.inside for component in placements[part.placement].components]
    named = [component for part in parts for component in placements[part.placement].components]
    doubled = next((component for component in whole if named.count(component) > 1), None)
    both = [part.name for part in parts if doubled in placements[part.placement].components]
    return f"{doubled!r} is given two adapters, by {' and '.join(both)}" if doubled else None


def _meant(name: str, placements: Sequence[str]) -> str:
    """Returns what was probably meant by a name that is no placement."""
    first_of_others = {next(iter(ARCHITECTURES[one].placements)) for one in ARCHITECTURES.names} - {*placements}
    if name in first_of_others:
        return f"; its denoiser is {placements[0]!r}"
    settings = did_you_mean(name, TRAINING_AXES)
    return settings if "did you mean" in settings else did_you_mean(name, placements)
