"""Placements, trials, and which of them meet a budget of parameters."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

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
BASE_MODEL = "base-model"
NEAREST = 3


@dataclass(frozen=True)
class TrialSpec:
    """One LoRA configuration: which placements carry an adapter, at which rank. None at all is the base model."""

    ranks: tuple[tuple[Placement, int], ...]

    @classmethod
    def of(cls, ranks: Mapping[Placement, int]) -> "TrialSpec":
        """Rank 0 says the same as leaving the placement out."""
        return cls(tuple(sorted(((name, rank) for name, rank in ranks.items() if rank), key=_placement_order)))

    @property
    def trial_id(self) -> str:
        return "-".join(f"{name}-r{rank}" for name, rank in self.ranks) or BASE_MODEL

    @property
    def title(self) -> str:
        return ", ".join(f"{_TITLES.get(name, name)} rank {rank}" for name, rank in self.ranks) or "base model"

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


def _placement_order(item: tuple[Placement, int]) -> int:
    return list(PLACEMENTS).index(item[0]) if item[0] in PLACEMENTS else len(PLACEMENTS)


def placement_error(spec: TrialSpec) -> str | None:
    """Why `spec` cannot be placed: an unknown placement, or a component named twice."""
    for name, _ in spec.ranks:
        if name not in PLACEMENTS:
            return f"{name!r} is no part of this model{did_you_mean(name, PLACEMENTS)}"
    parts = [part for name, _ in spec.ranks for part in PLACEMENTS[name]]
    doubled = {part for part in parts if parts.count(part) > 1}
    return f"{spec.trial_id}: {sorted(doubled)[0]!r} is given two ranks" if doubled else None


def combinations(placements: Sequence[Placement], ranks: Sequence[int]) -> Iterator[TrialSpec]:
    """Every assignment of one of `ranks`, or none, to each placement, but for none at all."""
    for chosen in product([0, *ranks], repeat=len(placements)):
        spec = TrialSpec.of(dict(zip(placements, chosen, strict=True)))
        if not spec.is_base_model and placement_error(spec) is None:
            yield spec


@dataclass(frozen=True)
class Interval:
    """Parameter counts from `low` to `high`, both included."""

    low: float
    high: float

    @classmethod
    def around(cls, parameters: int, tolerance: float) -> "Interval":
        """tolerance: as a share, for instance 0.1."""
        return cls(parameters * (1 - tolerance), parameters * (1 + tolerance))

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
        raise ConfigError(
            f"space.budget: no placement has {budget.low:,.0f} to {budget.high:,.0f} parameters; the nearest: {named}"
        )
    return feasible
