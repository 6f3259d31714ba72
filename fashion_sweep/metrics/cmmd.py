"""CMMD: the squared MMD with a Gaussian kernel on CLIP embeddings, times 1000, in float64.

Source: Jayasumana et al. (2024), https://arxiv.org/abs/2401.09603. As in the authors' code, embeddings are brought to
length 1, the kernel is exp(−|x−y|²/(2·10²)), and the value is the V-statistic, whose means hold the pairs of an image
with itself. These make it too large by an amount that is known exactly; less that it is the unbiased U-statistic, by
which configurations are compared. The embeddings are those of `evaluation.clip_model` (the authors took ViT-L/14 at
336 pixels), so values compare only with those of the same model.
"""

from collections.abc import Mapping

import numpy as np

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.metrics.extractors import CLIP
from fashion_sweep.metrics.metric import Estimate, Margin, Metric, RealImages
from fashion_sweep.metrics.prompts import prompts_of

SIGMA, SCALE = 10.0, 1000.0
ROWS_AT_ONCE = 512
"""The rows of the kernel computed at once: all 40,000 x 40,000 values would take 13 GB."""


class Cmmd(Metric):
    """The distance of generated images from real ones by a Gaussian kernel on their CLIP embeddings."""

    name, title, short, better = "cmmd", "CMMD", "CMMD", "lower"
    margin = Margin(0.02, share=0.03)
    digits = 3
    is_biased = True
    estimates_influence = True
    extractors = (CLIP,)

    def statistics(self, features: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        real = _normalised(features[CLIP])
        return {"within": np.array(_row_means(real, real).mean())}

    def estimate(self, images: Mapping[str, np.ndarray], real: RealImages, evaluation: EvaluationConfig) -> Estimate:
        x, y = _normalised(images[CLIP]), _normalised(real.features[CLIP])
        return cmmd_estimate(x, y, float(real.of(self.name, "within")), prompts_of(images))


def cmmd_estimate(x: np.ndarray, y: np.ndarray, within_y: float, prompts: np.ndarray | None = None) -> Estimate:
    """Estimates CMMD from embeddings x n,d and y m,d of length 1; within_y: the mean kernel over all pairs of y.

    The influence is the first-order projection of the U-statistic over pairs of different prompts, y being given, as
    for KID. `prompts` has the number of each row of x's prompt; default: each has its own.
    """
    n, m, prompts = len(x), len(y), np.arange(len(x)) if prompts is None else prompts
    pairs, across, counts = _row_means(x, x), _row_means(x, y), np.bincount(prompts)
    within, alike = pairs.mean(), np.ones(n)  # a row's kernel with itself is 1, the sum with those of its prompt more
    for prompt in np.flatnonzero(counts > 1):
        rows = prompts == prompt
        alike[rows] = counts[prompt] * _row_means(x[rows], x[rows])
    others = (n * pairs - alike) / (n - counts[prompts])  # a row's mean over those of other prompts
    apart = float(np.sum(n * pairs - alike) / (n**2 - np.sum(counts**2)))
    bias = within - apart + (1 - within_y) / (m - 1)  # of the one set and of the other
    added = 2 * (others - across)
    influence = SCALE * (added - added.mean())
    return Estimate(
        value=float(SCALE * (within + within_y - 2 * across.mean())),
        influence=influence,
        bias=float(SCALE * bias),
        standard_error=float(influence.std(ddof=1) / np.sqrt(n)),
    )


def _row_means(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns n values: the mean kernel of each row of x n,d with all rows of y m,d, all of length 1."""
    starts = range(0, len(x), ROWS_AT_ONCE)
    return np.concatenate([np.exp((x[at : at + ROWS_AT_ONCE] @ y.T - 1) / SIGMA**2).mean(axis=1) for at in starts])


def _normalised(features: np.ndarray) -> np.ndarray:
    values = np.asarray(features, dtype=np.float64)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


CMMD = Cmmd()
