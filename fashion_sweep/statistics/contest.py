"""What a race is about: configurations, as they were measured on any number of images, and what they have to keep."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fashion_sweep.metrics.metric import Metric
from fashion_sweep.statistics.comparison import Measured


@dataclass(frozen=True)
class Entrant:
    """A configuration in a race."""

    name: str
    parameters: int
    at: Callable[[int], Measured | None]
    """Returns what was measured on so many images; None where it was not judged on them, or not yet."""


@dataclass(frozen=True)
class Contest:
    """What a race is about."""

    entrants: Sequence[Entrant]
    metrics: Sequence[Metric]
    """The metrics of the verdict."""
    prompts: Callable[[int], np.ndarray]
    """Returns the prompt of each of the first so many images, by number."""
    margins: Callable[[Mapping[str, float]], Mapping[str, float]]
    """Returns the margin of each metric, given the best value of each at the first look."""
