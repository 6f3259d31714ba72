"""The options that kinds of adapters with a rank have in common. Imports no torch."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, get_args

from pydantic import Field, model_validator

from fashion_sweep.config.placed_adapter import AdapterOptions
from fashion_sweep.config.search_space import LARGEST_RANK
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.config.training_axes import Alpha, Growing, short_value, worded


class RankedOptions(AdapterOptions):
    """The options of an adapter that has a rank, and is scaled by alpha over it."""

    names: ClassVar[Mapping[str, str]] = {"lora_alpha": "alpha"}

    rank: int = Field(ge=1, le=LARGEST_RANK)
    lora_alpha: Alpha | None = None
    """The alpha, a number or one that grows with the rank; null: `training.lora_alpha`."""

    @model_validator(mode="before")
    @classmethod
    def _grows_from_one(cls, values: Any) -> Any:
        """Has an alpha that grows with the rank be 1 where the rank is, so that both ways to say it are one."""
        is_one = isinstance(values, dict) and values.get("rank") == 1 and isinstance(values.get("lora_alpha"), str)
        return {**values, "lora_alpha": 1.0} if is_one and values["lora_alpha"] in get_args(Growing) else values

    @property
    def tag(self) -> str:
        """The options in a trial's id, for instance `r4-alpharank`."""
        others = [f"{self.names[name]}{short_value(value)}" for name, value in self.others.items()]
        return "-".join([f"r{self.rank}", *others])

    @property
    def label(self) -> str:
        """The options in a trial's title, for instance `rank 4, alpha = rank`."""
        return ", ".join([f"rank {self.rank}", *(worded(self.names[name], v) for name, v in self.others.items())])

    def alpha(self, training: TrainingConfig) -> float:
        """Returns the alpha as a number: the adapter is scaled by it over the rank."""
        alpha = self.lora_alpha or training.lora_alpha
        if isinstance(alpha, str):
            alpha = float(self.rank) if alpha == "rank" else math.sqrt(self.rank)
        return alpha


def ranks_and_alphas(
    layers: Mapping[str, RankedOptions], training: TrainingConfig
) -> tuple[dict[str, int], dict[str, float]]:
    """Returns the ranks and the alphas of layers by their names."""
    ranks = {name: options.rank for name, options in layers.items()}
    return ranks, {name: options.alpha(training) for name, options in layers.items()}
