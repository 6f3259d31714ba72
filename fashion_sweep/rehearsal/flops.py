"""Counts the floating-point operations of what a run does to a sample, from configs alone."""

from dataclasses import asdict, dataclass
from functools import cache

from fashion_sweep.config.data_source import Size
from fashion_sweep.config.model_config import ModelConfig
from fashion_sweep.config.preset import EvaluationConfig, RunConfig
from fashion_sweep.metrics.extractors import CLIP, FEATURES, operations_of
from fashion_sweep.models.architecture import Operations
from fashion_sweep.models.registry import architecture_of


@dataclass(frozen=True)
class Flops(Operations):
    """Counts the operations of the base model, and of what judges its pictures."""

    features: float


def count_work(config: RunConfig) -> dict[str, Flops] | None:
    """Counts the operations at a run's sizes: `training`, and each evaluation set. None as `count_flops`."""
    preset = config.preset
    sizes = {"training": preset.training.image} | {n: preset.picture_size(n) for n in config.drawn_on}
    counted = {name: count_flops(preset.model, preset.evaluation, size) for name, size in sizes.items()}
    countable = {name: flops for name, flops in counted.items() if flops is not None}
    return countable if len(countable) == len(counted) else None


@cache
def count_flops(model: ModelConfig, evaluation: EvaluationConfig, size: Size) -> Flops | None:
    """Counts the operations on one sample of this size; None where the architecture is not at hand."""
    operations = architecture_of(model).operations(model, size)
    if operations is None:
        return None
    return Flops(
        **asdict(operations),
        features=operations_of(FEATURES, evaluation) + operations_of(CLIP, evaluation),
    )
