"""Kernel Inception Distance: the unbiased squared MMD with the kernel (x·y/d + 1)³, in float64.

Source: Bińkowski et al., Demystifying MMD GANs (2018), https://arxiv.org/abs/1801.01401.
"""

from collections.abc import Mapping

import numpy as np

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.metrics.extractors import FEATURES
from fashion_sweep.metrics.metric import Estimate, Margin, Metric, RealImages
from fashion_sweep.metrics.prompts import prompts_of


def kid(features: np.ndarray, reference: np.ndarray, subset_size: int, prompts: np.ndarray | None = None) -> Estimate:
    """Estimates KID as the mean over disjoint subsets: the k-th `subset_size` features against the reference's k-th.

    Beyond the last of the reference its first is taken again. features N,d and reference M,d are each in a random
    order, and row i of one tells nothing of row i of the other. `prompts` has the number of each feature's prompt;
    default: each has its own. The standard error is that of the mean over subsets.

    Raises:
        ValueError: there are fewer than two subsets, so that nothing is known of the error.
    """
    count, references = len(features) // subset_size, len(reference) // subset_size
    if min(count, references, subset_size) < 2:
        raise ValueError(f"KID needs two subsets of {subset_size} on each side")
    values, influence = np.empty(count), np.zeros(len(features))
    prompts = np.arange(len(features)) if prompts is None else prompts
    for number in range(count):
        rows = slice(number * subset_size, (number + 1) * subset_size)
        beside = reference[number % references * subset_size :][:subset_size]
        values[number], influence[rows] = squared_mmd(features[rows], beside, prompts[rows])
    influence *= len(features) / (count * subset_size)  # images beyond the last subset move nothing
    return Estimate(float(values.mean()), influence, standard_error=float(values.std(ddof=1) / np.sqrt(count)))


def squared_mmd(x: np.ndarray, y: np.ndarray, prompts: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Estimates the squared MMD of x n,d and y m,d without bias, and the influence (n) of each row of x given y.

    The influence is the first-order projection of the U-statistic: twice what a row adds to the mean over pairs. Pairs
    of one prompt are left out as an image's with itself are: they are closer than independent draws.

    prompts: the number of each row of x's prompt; default: each has its own.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    n, m = len(x), len(y)
    within_x, within_y, across = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    prompts = np.arange(n) if prompts is None else prompts
    apart = prompts[:, None] != prompts
    within_x *= apart
    value = float(
        within_x.sum() / max(apart.sum(), 1) + (within_y.sum() - np.trace(within_y)) / (m * (m - 1)) - 2 * across.mean()
    )
    added = 2 * (within_x.sum(axis=1) / apart.sum(axis=1).clip(min=1) - across.mean(axis=1))
    return value, added - added.mean()


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


class Kid(Metric):
    """The distance of generated images from real ones by a kernel on features, unbiased at any number of images."""

    name, title, short, better = "kid", "KID", "KID", "lower"
    margin = Margin(0.3, share=0.03)
    scale, digits = 1000.0, 1
    extractors = (FEATURES,)

    def estimate(self, images: Mapping[str, np.ndarray], real: RealImages, evaluation: EvaluationConfig) -> Estimate:
        generated, size = images[FEATURES], evaluation.kid_subset_size
        reference = _strangers_first(real.features[FEATURES], len(generated), size)
        return kid(generated, reference, size, prompts_of(images))

    def least_images(self, evaluation: EvaluationConfig) -> int:
        return 2 * evaluation.kid_subset_size

    def shortage(self, images: int, evaluation: EvaluationConfig) -> str | None:
        if images >= self.least_images(evaluation):
            return None
        return f"too few for two KID subsets of {evaluation.kid_subset_size}; set a smaller evaluation.kid_subset_size"


def _strangers_first(reference: np.ndarray, samples: int, size: int) -> np.ndarray:
    """Rotates the reference so that no image meets its own caption's photograph: KID takes the two as independent."""
    return np.roll(reference, -(samples if len(reference) >= samples + size else size), axis=0)


KID = Kid()
