"""Columns about the adapters of a run's trials, for tables, MLflow and spreadsheets."""

from typing import Any

from fashion_sweep.config.placed_adapter import PlacedAdapter
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.config.training_axes import short_value
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.doors import ADAPTER_KINDS

KIND, ALPHA = "kind", "lora_alpha"


def placements_of(config: RunConfig) -> list[str]:
    """Returns the placements that any trial of the run may adapt."""
    space = config.sweep.space
    adapted = (one.placement for spec in config.specs for one in spec.adapters)
    return list(space.placements if space else dict.fromkeys(adapted))


def adapter_columns(config: RunConfig) -> list[str]:
    """Returns a column for each size of adapters, for each option that any has another than usual, and for their kind
    if any has another than usual. Where no trial has an adapter, the columns are those of the registry's first kind."""
    space = config.sweep.space
    adapted = [one for spec in config.specs for one in spec.adapters]
    kinds = list(space.kinds if space else dict.fromkeys(one.kind for one in adapted)) or [ADAPTER_KINDS.default]
    axes = dict.fromkeys(axis for kind in kinds for axis in ADAPTER_KINDS[kind].axes)
    options = dict.fromkeys([*(space.options if space else ()), *(name for one in adapted for name in one.stated)])
    return [*(axes | options), *([KIND] if kinds != [ADAPTER_KINDS.default] else [])]


def adapter_settings(one: PlacedAdapter, training: TrainingConfig) -> dict[str, Any]:
    """Returns an adapter's options by name; those that it leaves to its trial's training have that one's values."""
    options: dict[str, Any] = one.options.model_dump(mode="json")
    return {name: getattr(training, name, None) if value is None else value for name, value in options.items()}


def alpha_of(spec: TrialSpec, training: TrainingConfig) -> Any:
    """Returns the alpha that all of a trial's adapters have; of each placement in a line where they differ.

    None where no adapter has an alpha.
    """
    settings = {one.placement: adapter_settings(one, training) for one in spec.adapters}
    alphas = {name: own[ALPHA] for name, own in settings.items() if ALPHA in own}
    if len(set(alphas.values())) <= 1:
        return next(iter(alphas.values()), None)
    return ", ".join(f"{name} {short_value(alpha)}" for name, alpha in alphas.items())


def adapter_value(one: PlacedAdapter | None, column: str, training: TrainingConfig) -> Any:
    """Returns what a column says of an adapter of a trial with this training.

    Where there is none, the kind is `none`, its size 0, and nothing is said of other options.
    """
    if column == KIND:
        return one.kind if one else "none"
    absent = 0 if any(column in ADAPTER_KINDS[name].axes for name in ADAPTER_KINDS.names) else None
    return adapter_settings(one, training).get(column, absent) if one else absent
