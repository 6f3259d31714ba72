"""What a metric is to all that compute, compare or show it. Imports no torch."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import numpy as np

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.doors import METRICS

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """A metric of n generated images, with what is known of its error."""

    value: float
    """As others compute it of so many images."""
    influence: np.ndarray
    """n float64: the effect of each image on the value, times n; its mean is about 0."""
    bias: float = 0.0
    """Expected excess over the value of infinitely many images."""
    standard_error: float | None = None
    """Of the value, where it is shown with one."""
    bias_is_rough: bool = False
    """The images are so few that some of the bias stays after `bias` is taken off."""


@dataclass(frozen=True)
class Margin:
    """How much worse than the best still counts as good, in the units of tables, where the sweep does not say."""

    least: float
    share: float = 0.0
    """Of the best value, where that is more."""

    def beside(self, best: float) -> float:
        return max(self.least, self.share * best)


@dataclass(frozen=True)
class RealImages:
    """What generated images are compared with; rows are in the order of judging."""

    features: Mapping[str, np.ndarray]
    """By extractor: m,d float32; the first n are those whose captions were the prompts."""
    statistics: Mapping[str, np.ndarray]
    """`<metric>.<name>`: what `Metric.statistics` makes of them, once per run."""

    def of(self, metric: str, name: str) -> np.ndarray:
        return self.statistics[f"{metric}.{name}"]


class ImageBatch(Protocol):
    """A batch of N generated images as the networks see it."""

    def features(self, name: str) -> "Tensor":
        """N,d float32 by the extractor of that name."""

    def kept(self, names: Iterable[str]) -> "dict[str, Tensor]":
        """The features by these extractors, under the names by which they are kept."""

    def caption_features(self, name: str) -> "Tensor":
        """N,d float32 of the captions, by an extractor that is a CLIP."""


class Metric(ABC):
    """A number about generated pictures. A new one is a subclass in a file of its own and a line in `doors.METRICS`."""

    name: ClassVar[str]
    """In files and settings."""
    title: ClassVar[str]
    """In text."""
    short: ClassVar[str]
    """Over narrow columns."""
    better: ClassVar[Literal["lower", "higher"]]
    margin: ClassVar[Margin]
    scale: ClassVar[float] = 1.0
    """Between the value and what is shown."""
    digits: ClassVar[int] = 2
    """Shown behind the point."""
    is_biased: ClassVar[bool] = False
    """Whether estimates have a bias, less which they are compared."""
    image_range: ClassVar[tuple[float, float] | None] = None
    """What the value of one image lies between, where the metric is a mean over images."""
    extractors: ClassVar[tuple[str, ...]]
    """Networks that it needs: names of `doors.EXTRACTORS`, or `features` for the one that the preset names."""
    compares_features: ClassVar[bool] = True
    """Whether it compares their features of generated and of real images."""

    def per_image(self, batch: ImageBatch) -> "dict[str, Tensor]":
        """What must be kept of each image of a batch, by name: rows of float32."""
        return batch.kept(self.extractors)

    def statistics(self, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What it needs of the real images beside their features, which are given by extractor: made once per run."""
        return {}

    @abstractmethod
    def estimate(self, images: Mapping[str, np.ndarray], real: RealImages, evaluation: EvaluationConfig) -> Estimate:
        """The value of n generated images.

        Args:
            images: what was kept of them, by the names of `per_image` and by extractor.
            real: the real images.
            evaluation: the preset's settings.
        """

    def shortage(self, images: int, evaluation: EvaluationConfig) -> str | None:
        """Why so few images are not enough, as a clause; None where they are."""
        return None

    def least_images(self, evaluation: EvaluationConfig) -> int:
        """The smallest number of images that is enough."""
        return 2

    @property
    def worse(self) -> Literal["lower", "higher"]:
        return "higher" if self.better == "lower" else "lower"

    @property
    def extreme(self) -> Literal["lowest", "highest"]:
        """The best value, in a word."""
        return "lowest" if self.better == "lower" else "highest"

    def heading(self, less_bias: bool = False, narrow: bool = False) -> str:
        """Over a column: its name, the factor that values are shown with, and where the better ones are."""
        name = self.short if narrow else self.title
        limit = "∞" if less_bias and self.is_biased else ""
        factor = "" if self.scale == 1 else f" ×{self.scale:g}"
        return f"{name}{limit}{factor} {'↓' if self.better == 'lower' else '↑'}"

    def shown(self, value: float, sign: str = "") -> str:
        """A value in the units of tables, as text."""
        return f"{value:{sign}.{self.digits}f}"


def metrics_of(names: Iterable[str]) -> tuple[Metric, ...]:
    """The metrics of these names, in the order in which tables list them."""
    wanted = set(names)
    assert wanted <= set(METRICS.names), wanted
    return tuple(METRICS[name] for name in METRICS.names if name in wanted)
