"""The share of the variance between values with errors that lies between groups of them, with its interval."""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

LARGE = 10_000.0
"""The ratio from which on the root of a noncentral chi-square is taken as normal: they agree to four digits there."""


def projections(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the matrices n,n of the sums of squares between groups and within them; `places`: n, each one's group."""
    same = places[:, None] == places
    means = same / same.sum(axis=1, keepdims=True)
    return means - 1 / len(places), np.eye(len(places)) - means


@dataclass(frozen=True)
class SumOfSquares:
    """A sum of squares of values with errors, which is about `scale` times a noncentral chi-square.

    Source: Box (1954), Some theorems on quadratic forms, https://doi.org/10.1214/aoms/1177728786.
    """

    value: float
    scale: float
    freedom: float

    @classmethod
    def of(cls, values: np.ndarray, projection: np.ndarray, noise: np.ndarray) -> "SumOfSquares":
        """Takes it of n values by a projection n,n; `noise`: the covariance of their errors."""
        moved = projection @ noise
        first, second = float(np.trace(moved)), float(np.trace(moved @ moved))
        scale = second / first if first > 0 else 0.0
        return cls(float(values @ projection @ values), scale, first / scale if scale else 0.0)

    @property
    def true(self) -> float:
        """What it would be without errors, as estimated."""
        return max(0.0, self.value - self.scale * self.freedom)

    def range(self) -> tuple[float, float]:
        """Returns between what it lies without errors, with about 97.5 %: two such intervals hold together with 95 %.

        Source: Steiger (2004), Beyond the F test, https://doi.org/10.1037/1082-989X.9.2.164.
        """
        if not self.scale:
            return self.value, self.value
        ratio, tail = self.value / self.scale, 0.025 / 2
        return (
            self.scale * _noncentrality(ratio, self.freedom, 1 - tail),
            self.scale * _noncentrality(ratio, self.freedom, tail),
        )


def epsilon_squared(between: float, within: float, places: np.ndarray) -> float:
    """Returns the unbiased share of the variance that lies between groups, from 0 to 1; 0 where no value differs.

    Args:
        between, within: the sums of squares.
        places: n, the number of each value's group, of which there are fewer than n.
    """
    count, groups = len(places), len(np.unique(places))
    own, whole = between - (groups - 1) * within / (count - groups), between + within
    return float(np.clip(own / whole, 0, 1)) if whole > 0 else 0.0


def _noncentrality(ratio: float, freedom: float, probability: float) -> float:
    """Returns the noncentrality at which a noncentral chi-square is at most `ratio` with this probability."""
    if special.chdtr(freedom, ratio) <= probability:
        return 0.0
    top = (ratio**0.5 + 10) ** 2
    if ratio > LARGE:
        return max(0.0, (ratio**0.5 - special.ndtri(probability)) ** 2 - freedom + 1)
    return float(optimize.brentq(lambda own: special.chndtr(ratio, freedom, own) - probability, 0.0, top))
