"""The interface of a metric for all that compute, compare or show it. Imports no torch."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

import numpy as np

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.doors import METRICS
from fashion_sweep.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """The value of a metric on n generated images, with what is known of its error."""

    value: float
    """The value as other tools compute it of so many images."""
    influence: np.ndarray
    """The effect of each image on the value, times n: n float64, whose mean is about 0."""
    half_influence: np.ndarray | None = None
    """The same for the value of that half of the images which an image belongs to; None where influences are known
    exactly."""
    bias: float = 0.0
    """The expected excess over the value of infinitely many images, as it is taken from differences."""
    rest: float = 0.0
    """What is left of it then, as halves of the images tell: taken from what is shown. Differences have most of it in
    common, and would only be noisier for it."""
    standard_error: float | None = None
    """The standard error of the value, where it is shown with one."""
    bias_is_rough: bool = False
    """Whether the prompts are so few that some of the bias stays after `bias` is subtracted."""


@dataclass(frozen=True)
class Margin:
    """The distance from the best that still counts as good, in the units of tables, unless the sweep sets its own."""

    least: float
    share: float = 0.0
    """The share of the best value that is the margin where it is more than `least`."""

    def beside(self, best: float) -> float:
        return max(self.least, self.share * best)


@dataclass(frozen=True)
class RealImages:
    """The real images that generated ones are compared with; rows are in the order of judging."""

    features: Mapping[str, np.ndarray]
    """The features by extractor: m,d float32; the first n are those whose captions were the prompts."""
    statistics: Mapping[str, np.ndarray]
    """The results of `Metric.statistics`, computed once per run, by `<metric>.<name>`."""

    def of(self, metric: str, name: str) -> np.ndarray:
        return self.statistics[f"{metric}.{name}"]


class ImageBatch(Protocol):
    """A batch of N generated images as the networks see it."""

    @property
    def captions(self) -> Sequence[str]:
        """The prompts of the images, N."""

    def features(self, name: str) -> "Tensor":
        """Returns the features N,d float32 by the extractor of that name."""

    def kept(self, names: Iterable[str]) -> "dict[str, Tensor]":
        """Returns the features by these extractors, under the names by which they are kept."""

    def caption_features(self, name: str) -> "Tensor":
        """Returns the captions' features N,d float32, by an extractor that is a CLIP."""


FEW = 256
"""The images from which bounds of a mean hold far into its tails, though one in fifty fails."""
STATED = ("name", "title", "short", "better", "margin", "extractors")
"""The fields that a metric's class has to state."""


class Metric(ABC):
    """A number about generated pictures. A new one is a subclass in a file of its own and a line in `doors.METRICS`."""

    name: ClassVar[str]
    """The name in files and settings."""
    title: ClassVar[str]
    """The name in text."""
    short: ClassVar[str]
    """The name over narrow columns."""
    better: ClassVar[Literal["lower", "higher"]]
    margin: ClassVar[Margin]
    scale: ClassVar[float] = 1.0
    """The factor by which the value is multiplied to be shown."""
    digits: ClassVar[int] = 2
    """The number of decimals that are shown."""
    is_biased: ClassVar[bool] = False
    """Whether estimates have a bias, which is subtracted to compare them."""
    image_range: ClassVar[tuple[float, float] | None] = None
    """The range of the value of one image, where the metric is a mean over images."""
    extractors: ClassVar[tuple[str, ...]]
    """The networks that the metric needs: names of `doors.EXTRACTORS`, or `features` for the preset's."""
    estimates_influence: ClassVar[bool] = False
    """Whether the influence of an image depends on all the others, so that it is known with an error."""
    compares_features: ClassVar[bool] = True
    """Whether the metric compares features of generated and of real images."""
    rendered_only: ClassVar[bool] = False
    """Whether the metric can only be had on the embedded world's rendered data sets."""

    def per_image(self, batch: ImageBatch) -> "dict[str, Tensor]":
        """Computes what must be kept of each image of a batch, by name: rows of float32."""
        return batch.kept(self.extractors)

    def statistics(self, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Computes, once per run, what the metric needs of the real images beside `features`, given by extractor."""
        return {}

    @abstractmethod
    def estimate(
        self, images: Mapping[str, np.ndarray], real: RealImages, evaluation: EvaluationConfig
    ) -> Estimate | None:
        """Estimates the metric of n generated images; None where it asks for something that none of them is to show.

        Args:
            images: what was kept of them, by the names of `per_image` and by extractor; and the number of each image's
                prompt, as `prompts.prompts_of` reads it.
            real: the real images.
            evaluation: the preset's settings.
        """

    def shortage(self, images: int, evaluation: EvaluationConfig) -> str | None:
        """Returns why so few images are not enough, as a clause; None where they are."""
        return f"too few for {self.title}" if images < self.least_images(evaluation) else None

    def least_images(self, evaluation: EvaluationConfig) -> int:
        """Returns the smallest number of images that is enough."""
        return 2

    def images_to_compare(self, evaluation: EvaluationConfig) -> int:
        """Returns the smallest number of images on which errors of differences are what they are said to be."""
        return max(FEW, self.least_images(evaluation))

    @property
    def worse(self) -> Literal["lower", "higher"]:
        return "higher" if self.better == "lower" else "lower"

    @property
    def extreme(self) -> Literal["lowest", "highest"]:
        """The word for the best value: lowest or highest."""
        return "lowest" if self.better == "lower" else "highest"

    def heading(self, less_bias: bool = False, narrow: bool = False) -> str:
        """Returns a column's heading: the name, the factor of the values, and an arrow to the better ones."""
        name = self.short if narrow else self.title
        limit = "∞" if less_bias and self.is_biased else ""
        factor = "" if self.scale == 1 else f" ×{self.scale:g}"
        return f"{name}{limit}{factor} {'↓' if self.better == 'lower' else '↑'}"

    def shown(self, value: float, sign: str = "") -> str:
        """Formats a value in the units of tables as text."""
        return f"{value:{sign}.{self.digits}f}"


def too_few(metrics: Iterable[Metric], images: int, evaluation: EvaluationConfig) -> str | None:
    """Returns why that many images are too few for these metrics, as a clause; None where they are enough."""
    reasons = (metric.shortage(images, evaluation) for metric in metrics)
    return next((f"{images} images are {reason}" for reason in reasons if reason), None)


def metrics_of(names: Iterable[str]) -> tuple[Metric, ...]:
    """Returns the metrics of these names, in the order in which tables list them.

    Raises:
        ConfigError: one of an installed package does not say what a metric has to.
    """
    wanted = set(names)
    assert wanted <= set(METRICS.names), wanted
    return tuple(_whole(METRICS[name], name) for name in METRICS.names if name in wanted)


def _whole(metric: Metric, name: str) -> Metric:
    missing = [field for field in STATED if not hasattr(metric, field)]
    if missing:
        raise ConfigError(f"metric {name!r}: its class {type(metric).__name__} states no {missing[0]}")
    if metric.name != name:
        raise ConfigError(f"metric {name!r}: its class {type(metric).__name__} calls itself {metric.name!r}")
    return metric
