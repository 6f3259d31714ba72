"""The rules of a race, which are fixed before it begins."""

from dataclasses import dataclass
from functools import lru_cache

from scipy import stats

from fashion_sweep.statistics.bounds import Levels
from fashion_sweep.statistics.spending import critical_values, pocock

GOOD_SHARE = 0.8
"""The share of the allowed error for calling one good that is not; the rest is for calling one worse that is not."""


@dataclass(frozen=True)
class Rules:
    """How a race is run.

    A configuration is good when it is shown to be worse by less than a margin than any other; it is out when it is
    shown to be worse by more than what is tolerated. A share of the error that is allowed is for the former, divided
    among configurations alone, since one that is not good has to pass where it is worst; the rest is for the latter,
    divided among all pairs and metrics. Either is spent over the looks. Sources: Berger (1982), Technometrics 24(4),
    for the first; Jennison & Turnbull (2000), for looks.
    """

    looks: tuple[int, ...]
    """The images of a configuration at each look, increasing."""
    entrants: int
    """The number of configurations that there will be."""
    level: float = 0.95
    """The confidence of all that is claimed together."""
    indifference: float = 0.75
    """The share of a margin, next to it, in which either answer is right."""
    budget: int | None = None
    """The most images of all configurations together."""

    def tolerated(self, margin: float) -> float:
        """Returns by how much a configuration may be shown to be worse and not be out."""
        return (1 - self.indifference) * margin

    def levels(self, metrics: int) -> list[Levels]:
        """Returns the confidence of single bounds at each look, with so many metrics in the verdict."""
        error, pairs = 1 - self.level, max(1, self.entrants * (self.entrants - 1) * metrics)
        good = _levels(self.looks, GOOD_SHARE * error / self.entrants)
        worse = _levels(self.looks, (1 - GOOD_SHARE) * error / pairs)
        return [Levels(*both) for both in zip(good, worse, strict=True)]


@lru_cache
def _levels(looks: tuple[int, ...], error: float) -> list[float]:
    shares = [images / looks[-1] for images in looks]
    return [float(stats.norm.cdf(critical)) for critical in critical_values(shares, error, pocock)]
