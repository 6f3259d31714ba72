"""Columns about the adapters of a run's trials, for tables, MLflow and spreadsheets."""

from typing import Any

from fashion_sweep.config.placed_adapter import PlacedAdapter
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.doors import ADAPTER_KINDS

KIND = "kind"


def placements_of(config: RunConfig) -> list[str]:
    """Returns the placements that any trial of the run may adapt."""
    space = config.sweep.space
    adapted = (one.placement for spec in config.specs for one in spec.adapters)
    return list(space.placements if space else dict.fromkeys(adapted))


def adapter_columns(config: RunConfig) -> list[str]:
    """Returns a column for each option that is a number, and one for the adapter's kind if any has another than usual.
    Where no trial has an adapter, the columns are those of the registry's first kind."""
    space = config.sweep.space
    adapted = (one.kind for spec in config.specs for one in spec.adapters)
    kinds = list(space.kinds if space else dict.fromkeys(adapted)) or [ADAPTER_KINDS.default]
    axes = dict.fromkeys(axis for kind in kinds for axis in ADAPTER_KINDS[kind].axes)
    return [*axes, *([KIND] if kinds != [ADAPTER_KINDS.default] else [])]


def adapter_value(one: PlacedAdapter | None, column: str) -> Any:
    """Returns what a column says of an adapter; where there is none, 0 and the kind `none`."""
    if column == KIND:
        return one.kind if one else "none"
    return one.axes.get(column, 0) if one else 0
