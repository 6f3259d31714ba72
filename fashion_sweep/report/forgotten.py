"""The forgetting of each configuration, its replicates as one, on a set that nothing was trained on."""

import math
from dataclasses import dataclass
from statistics import fmean, variance

from fashion_sweep.report.results import Results


@dataclass(frozen=True)
class Forgotten:
    title: str
    base_loss: float
    increase: float
    """The increase of the denoising loss with the adapter, on the same images and noise; the mean over the seeds."""
    se: float
    """The standard error of the increase, from the images and, where several seeds were trained, their spread."""
    samples: int | None

    @property
    def loss(self) -> float:
        return self.base_loss + self.increase

    @property
    def is_shown(self) -> bool:
        """Whether the increase is shown with 95 % confidence, two-sided."""
        return self.increase - 1.96 * self.se > 0


def forgotten(results: Results, name: str) -> list[Forgotten]:
    """Returns the forgetting by configuration, in the sweep's order; none where it was not measured."""
    groups: dict[str, list[tuple[float, float, float, int | None]]] = {}
    for trial in results.trials:
        judged = trial.on(name)
        base, increase, se = judged.base_loss, judged.loss_increase, judged.loss_increase_se
        if base is not None and increase is not None and se is not None:
            groups.setdefault(trial.spec.configuration.title, []).append((base, increase, se, judged.loss_samples))
    return [_averaged(title, rows) for title, rows in groups.items()]


def _averaged(title: str, rows: list[tuple[float, float, float, int | None]]) -> Forgotten:
    """Averages over the seeds, which see the same images: their part of the error no number of seeds makes smaller."""
    increases = [increase for _, increase, _, _ in rows]
    spread = variance(increases) / len(rows) if len(rows) > 1 else 0.0
    se = math.sqrt(fmean(se for _, _, se, _ in rows) ** 2 + spread)
    return Forgotten(title, rows[0][0], fmean(increases), se, rows[0][3])
