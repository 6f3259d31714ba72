"""Placements, trials, and which of them meet a budget of parameters."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal, get_args

from fashion_sweep.errors import ConfigError, did_you_mean

Placement = str
Component = Literal["unet", "text_encoder", "text_encoder_2"]

COMPONENTS: tuple[str, ...] = get_args(Component)
PLACEMENTS: dict[Placement, tuple[str, ...]] = {
    "unet": ("unet",),
    "text_encoder": ("text_encoder",),
    "text_encoder_2": ("text_encoder_2",),
    "text_encoders": ("text_encoder", "text_encoder_2"),
}
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
"""Characters of a trial's id, which becomes a folder's name and part of longer ones."""


@dataclass(frozen=True)
class TrialSpec:
    """One LoRA configuration, trained once: which placements carry an adapter, at which rank, with which training.

    No rank at all is the base model.
    """

    ranks: tuple[tuple[Placement, int], ...]
    training: tuple[tuple[str, Any], ...] = ()
    """What it sets for itself of `TRAINING_AXES`; all else is the preset's."""
    replicate: int = 0
    """The same configuration may be trained several times: with the preset's seed plus this."""
    garment: str = ""
    """The name of the one garment that it is trained on, in place of a data set."""

    @classmethod
    def of(cls, values: Mapping[str, Any], replicate: int = 0) -> "TrialSpec":
        """From a trial as sweep files have it. Rank 0 says the same as leaving the placement out."""
        ranks = {name: rank for name, rank in values.items() if name not in TRAINING_AXES and rank}
        training = {
            name: tuple(value) if isinstance(value := values[name], list) else value
            for name in TRAINING_AXES
            if name in values and ranks
        }
        return cls(tuple(sorted(ranks.items(), key=_placement_order)), tuple(training.items()), replicate)

    @property
    def values(self) -> dict[str, Any]:
        """As sweep files have it."""
        return {**dict(self.ranks), **{key: list(v) if isinstance(v, tuple) else v for key, v in self.training}}

    @property
    def configuration(self) -> "TrialSpec":
        """What its replicates have in common."""
        return replace(self, replicate=0)

    @property
    def trial_id(self) -> str:
        if self.garment:
            return self.garment
        ranks = [f"{name}-r{rank}" for name, rank in self.ranks] or [BASE_MODEL]
        training = [TRAINING_AXES[name] + _short(value, "_") for name, value in self.training]
        name = "-".join([*ranks, *training, *([f"seed{self.replicate}"] if self.replicate else [])])
        if len(name) <= LONGEST_ID:
            return name
        digest = hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
        return f"{name[: LONGEST_ID - 9]}-{digest}"

    @property
    def title(self) -> str:
        if self.garment:
            return self.garment
        ranks = [f"{_TITLES.get(name, name)} rank {rank}" for name, rank in self.ranks] or ["base model"]
        training = [f"{TRAINING_AXES[name]} {_short(value, ' ')}" for name, value in self.training]
        return ", ".join([*ranks, *training, *([f"seed +{self.replicate}"] if self.replicate else [])])

    @property
    def component_ranks(self) -> dict[str, int]:
        """Rank per adapted component of the pipeline, for instance `{"unet": 4}`."""
        return {part: rank for name, rank in self.ranks for part in PLACEMENTS[name]}

    @property
    def is_base_model(self) -> bool:
        return not self.ranks

    @property
    def trains_text_encoders(self) -> bool:
        return any(part != "unet" for part in self.component_ranks)


_TITLES = {"unet": "UNet", "text_encoder": "text encoder 1", "text_encoder_2": "text encoder 2"}
_TITLES["text_encoders"] = "text encoders"


def _short(value: Any, joint: str) -> str:
    return joint.join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"


def _placement_order(item: tuple[Placement, int]) -> int:
    return list(PLACEMENTS).index(item[0]) if item[0] in PLACEMENTS else len(PLACEMENTS)


def only_ranks_differ(specs: Sequence[TrialSpec]) -> bool:
    """Whether the configurations lie along one ordered axis: one placement at several ranks, or not at all."""
    adapted = [spec for spec in specs if not spec.is_base_model]
    placed = {tuple(name for name, _ in spec.ranks) for spec in adapted}
    alike = len(placed) == 1 and len({spec.training for spec in adapted}) == 1
    return alike and all(len(names) == 1 for names in placed)


def placement_error(spec: TrialSpec) -> str | None:
    """Why `spec` cannot be placed: an unknown placement, or a component named twice."""
    for name, _ in spec.ranks:
        if name not in PLACEMENTS:
            return f"{name!r} is no part of this model{did_you_mean(name, [*PLACEMENTS, *TRAINING_AXES])}"
    parts = [part for name, _ in spec.ranks for part in PLACEMENTS[name]]
    doubled = {part for part in parts if parts.count(part) > 1}
    return f"{spec.trial_id}: {sorted(doubled)[0]!r} is given two ranks" if doubled else None


def combinations(
    placements: Sequence[Placement], ranks: Sequence[int], training: Mapping[str, Sequence[Any]] | None = None
) -> Iterator[TrialSpec]:
    """Every assignment of one of `ranks`, or none, to each placement, but for none at all, under every combination of
    the values of `training`."""
    axes = dict(training or {})
    for chosen in product([0, *ranks], repeat=len(placements)):
        placed = dict(zip(placements, chosen, strict=True))
        if not any(chosen) or placement_error(TrialSpec.of(placed)):
            continue
        for values in product(*axes.values()):
            yield TrialSpec.of(placed | dict(zip(axes, values, strict=True)))


@dataclass(frozen=True)
class Interval:
    """Parameter counts from `low` to `high`, both included."""

    low: float
    high: float

    @classmethod
    def around(cls, parameters: int, tolerance: float) -> "Interval":
        """tolerance: as a share, for instance 0.1."""
        return cls(parameters * (1 - tolerance), parameters * (1 + tolerance))

    def __str__(self) -> str:
        return f"{self.low:,.0f} to {self.high:,.0f} parameters"

    def distance(self, parameters: int) -> float:
        """0 inside."""
        return max(self.low - parameters, parameters - self.high, 0.0)


def within(specs: Iterator[TrialSpec], count: Callable[[TrialSpec], int], budget: Interval) -> list[TrialSpec]:
    """Those whose parameters lie in the budget, the smallest first.

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
