"""Chooses what MLflow's saved views show of a sweep."""

from fashion_sweep.config.adapter_columns import adapter_columns, placements_of
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.training_axes import TRAINING_AXES
from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.tracking.tracked import Columns


def columns_of(config: RunConfig) -> Columns:
    """Returns the columns: first the metrics of the verdicts, then those beside them; the loss if nothing is judged.

    A race judges trials on different numbers of images: what is biased by these stands there less its bias first, and
    trials are ordered by that.
    """
    judge, metrics, quality = config.sweep.judge, list[str](), list[str]()
    for name, deciding in judge.items():
        beside = [metric for metric in config.sweep.metrics_on(name) if metric not in deciding]
        corrected = {metric.name: f"{metric.name}_corrected" for metric in metrics_of(deciding) if metric.is_biased}
        told = [corrected.get(key, key) for key in deciding] if config.sweep.choose.race else list(deciding)
        suffix = f"_{name}" if len(judge) > 1 else ""
        metrics += [f"{key}{suffix}" for key in dict.fromkeys((*told, *deciding, *beside, *corrected.values()))]
        quality += [f"{key}{suffix}" for key in told]
    first = next(iter(judge.values()), None)
    return Columns(
        params=_params(config),
        metrics=metrics or ["val_loss"],
        quality=quality or ["val_loss"],
        section="Quality against size",
        ascends=first is None or metrics_of(first)[0].better == "lower",
        sizes_differ=True,
    )


def _params(config: RunConfig) -> list[str]:
    """Returns the params that hold sizes, and what else differs between trials."""
    space = config.sweep.space
    axes = space.training if space else {name for spec in config.specs for name, _ in spec.training}
    varied = [name for name in TRAINING_AXES if name in axes]
    adapters = [f"{name}_{key}" for name in placements_of(config) for key in adapter_columns(config)]
    return ["parameters", *adapters, *varied]
