"""Bounds for looks at data that grow: how far a value must be from its null to be called so, look by look.

Source: Lan & DeMets (1983), Biometrika 70(3), for spending; Armitage, McPherson & Rowe (1969), JRSS A 132(2), for the
integration; Jennison & Turnbull (2000), chapters 7 and 19.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import optimize, stats

POINTS = 801
"""Of the grid on which the chance of having stayed within all bounds so far is held; odd, for Simpson's rule."""
FAR = 8.0
"""Standard deviations beyond which nothing is expected."""
Spending = Callable[[float, float], float]
"""The error that may have been spent at a share of the information, of all that is allowed."""


def pocock(share: float, error: float) -> float:
    """Spends evenly: bounds that are nearly the same at all looks, as Pocock's."""
    return float(error * np.log(1 + (np.e - 1) * share))


def critical_values(shares: Sequence[float], error: float, spending: Spending) -> list[float]:
    """Returns the one-sided critical value of each look, in standard errors.

    The chance that a value whose truth is zero exceeds any of them is `error`, once all looks are taken.

    Args:
        shares: of all information, at each look: increasing, above 0, at most 1. The variance of an estimate is in
            inverse proportion to its information, and what it gains between two looks is independent of what was there.
        error: allowed over all looks.
        spending: says how much of it by when.
    """
    values: list[float] = []
    spent, before = 0.0, 0.0
    grid, mass = np.zeros(1), np.ones(1)
    for share in shares:
        goal, step, sd = spending(share, error) - spent, np.sqrt(share - before), np.sqrt(share)

        def beyond(bound: float, grid: np.ndarray = grid, mass: np.ndarray = mass, step: float = step) -> float:
            return float(mass @ stats.norm.sf((bound - grid) / step))

        bound = 2 * FAR * sd  # where nothing is to be spent yet
        if goal > beyond(bound):
            bound = optimize.brentq(lambda at, beyond=beyond, goal=goal: beyond(at) - goal, -FAR * sd, bound)
        values.append(float(bound / sd))
        within = np.linspace(-FAR * sd, bound, POINTS)
        density = mass @ (stats.norm.pdf((within - grid[:, None]) / step) / step)
        grid, mass = within, density * _simpson(within[1] - within[0])
        spent, before = spent + goal, share
    return values


def _simpson(distance: float) -> np.ndarray:
    weights = np.full(POINTS, 2.0)
    weights[1::2], weights[[0, -1]] = 4.0, 1.0
    return weights * distance / 3
