"""The operations of a run's parts, by the sizes that it works at."""

from fashion_sweep.config import RunConfig
from fashion_sweep.rehearsal.flops import Flops, count_flops


def count_work(config: RunConfig) -> dict[str, Flops] | None:
    """`training` and each evaluation set; None where the architecture is not at hand."""
    preset = config.preset
    sizes = {"training": preset.training.image} | {n: preset.data.of(n).evaluation for n in config.sweep.judge}
    counted: dict[str, Flops] = {}
    for name, size in sizes.items():
        flops = count_flops(preset.model, preset.evaluation, size)
        if flops is None:
            return None
        counted[name] = flops
    return counted
