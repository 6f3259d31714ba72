"""What is known of a number and of the difference of two: bias of FID, standard errors, paired differences.

All configurations were judged on the same prompts from the same noise, so image i of one is compared with image i of
the other. The real images are taken as given: errors are those of the generated sample and, where several training
seeds were run, of training. Every error comes from an influence function: how much one image moves the number.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from fashion_sweep.metrics.fid import FeatureStats, feature_stats, frechet_distance
from fashion_sweep.rng import numpy_generator

METRICS = ("fid", "clip_score")
AT_ONCE = 200
"""Bootstrap draws."""
SMALLEST_ROOT = 1e-6
"""Of the largest: smaller eigenvalues of the cross term are noise, whose inverse would drown the rest."""


@dataclass(frozen=True)
class Fid:
    """FID of n images with what is known of its error. Source of the bias: Chong & Forsyth (2020), arXiv:1911.07023,
    who measured that FID at n images exceeds its limit by C/n; C here for Gaussian features."""

    value: float
    bias: float
    """Expected excess over the FID of infinitely many images."""
    influence: np.ndarray
    """n: the effect of each image on the value, times n; its mean is about 0."""

    @property
    def corrected(self) -> float:
        return self.value - self.bias


def fid_with_error(features: np.ndarray, reference: FeatureStats) -> Fid:
    """features: n,d of generated images.

    With R = Σr^½ and R Σ R = V diag(s²) Vᵀ: the derivative of tr (R Σ R)^½ with respect to Σ is ½ R V diag(1/s) Vᵀ R.
    """
    generated = feature_stats(features)
    values, vectors = np.linalg.eigh(reference.covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    squares, axes = np.linalg.eigh(root @ generated.covariance @ root)
    s = np.sqrt(squares.clip(min=0))
    kept = s > SMALLEST_ROOT * s.max()
    inverse = np.divide(1, s, out=np.zeros_like(s), where=kept)
    turned = root @ axes
    slope = np.eye(len(s)) - (turned * inverse) @ turned.T  # of FID with respect to Σ
    offset = features - generated.mean
    influence = (
        2 * offset @ (generated.mean - reference.mean)
        + np.einsum("ni,ij,nj->n", offset, slope, offset, optimize=True)
        - np.sum(slope * generated.covariance)
    )
    pairs = np.divide(s[:, None] * s, s[:, None] + s, out=np.zeros((len(s), len(s))), where=kept[:, None] & kept)
    constant = np.trace(generated.covariance) + pairs.sum() / 2 + s.sum() / 4
    return Fid(frechet_distance(generated, reference), float(constant / generated.count), influence)


@dataclass(frozen=True)
class Candidate:
    """One configuration as judged, from one training seed or several: lists are by seed."""

    name: str
    parameters: int
    features: Sequence[np.ndarray]
    """n,d each."""
    clip_scores: Sequence[np.ndarray]
    """n each."""


@dataclass(frozen=True)
class Estimate:
    """A metric of one configuration: mean over its seeds, what each image does to it, and each seed's own value."""

    value: float
    influence: np.ndarray
    by_seed: np.ndarray


@dataclass(frozen=True)
class Measured:
    name: str
    parameters: int
    fid: Estimate
    """Corrected for the bias of n images."""
    clip_score: Estimate


@dataclass(frozen=True)
class Difference:
    """First less second, of one metric, with what it rests on."""

    value: float
    image_variance: float
    """Of the value, from the sample of n images."""
    training_variance: float
    """Of the value, from S training seeds; 0 where only one was run, which says nothing of others."""
    training_df: int

    @property
    def se(self) -> float:
        return math.sqrt(self.image_variance + self.training_variance)

    def within(self, level: float) -> tuple[float, float]:
        """Two-sided interval."""
        reach = self.quantile((1 + level) / 2) * self.se
        return self.value - reach, self.value + reach

    def quantile(self, level: float) -> float:
        """Of Student's t, with Satterthwaite's degrees of freedom for a variance known in part from few seeds."""
        if not self.training_variance:
            return float(stats.norm.ppf(level))
        df = self.training_df * ((self.image_variance + self.training_variance) / self.training_variance) ** 2
        return float(stats.t.ppf(level, df))


def measure(candidate: Candidate, reference: FeatureStats) -> Measured:
    """FID (less its bias) and CLIP score with their influences, averaged over the candidate's seeds."""
    fids = [fid_with_error(features, reference) for features in candidate.features]
    return Measured(
        candidate.name,
        candidate.parameters,
        _averaged([fid.corrected for fid in fids], [fid.influence for fid in fids]),
        _averaged(
            [float(np.mean(scores, dtype=np.float64)) for scores in candidate.clip_scores],
            [scores - np.mean(scores, dtype=np.float64) for scores in candidate.clip_scores],
        ),
    )


def _averaged(values: Sequence[float], influences: Sequence[np.ndarray]) -> Estimate:
    return Estimate(float(np.mean(values)), np.asarray(np.mean(influences, axis=0, dtype=np.float64)), np.array(values))


@dataclass(frozen=True)
class Comparison:
    """All configurations of a sweep on one evaluation set, ready to be compared pairwise.

    Args:
        measured: at the same prompts and noise, in the same order.
        prompts: which prompt each image had; where one repeats, its images are no independent draws.
        dimension: of the features.
    """

    measured: Sequence[Measured]
    prompts: np.ndarray
    dimension: int
    """Of the features."""

    def difference(self, metric: str, a: Measured, b: Measured) -> Difference:
        first, second = getattr(a, metric), getattr(b, metric)
        trained = [len(getattr(one, metric).by_seed) for one in (a, b) if one.parameters]
        return Difference(
            first.value - second.value,
            self.image_variance(first.influence - second.influence),
            self.training_variance(metric) * sum(1 / seeds for seeds in trained),
            self.training_df(metric),
        )

    def estimate(self, metric: str, measured: Measured) -> Difference:
        """Of one configuration alone: its difference from nothing."""
        own = getattr(measured, metric)
        training = self.training_variance(metric) / len(own.by_seed) if measured.parameters else 0.0
        return Difference(own.value, self.image_variance(own.influence), training, self.training_df(metric))

    def training_df(self, metric: str) -> int:
        """Degrees of freedom of `training_variance`."""
        return sum(len(getattr(measured, metric).by_seed) - 1 for measured in self.measured)

    def image_variance(self, influence: np.ndarray) -> float:
        """Of a mean with these influences; those of one prompt's images are summed first."""
        sums = np.bincount(self.prompts, weights=influence)
        groups = len(sums)
        return float(np.var(sums) * groups**2 / (groups - 1) / len(influence) ** 2)

    def training_variance(self, metric: str) -> float:
        """Between training seeds, pooled over the configurations; 0 where each has one seed. The base model, at 0
        parameters, is not trained."""
        spreads = [getattr(measured, metric).by_seed for measured in self.measured]
        degrees = self.training_df(metric)
        return sum(float(((values - values.mean()) ** 2).sum()) for values in spreads) / degrees if degrees else 0.0

    def simultaneous_quantile(self, level: float, draws: int = 4000) -> float:
        """c such that all pairwise differences of both metrics stay within c standard errors at once, by the
        multiplier bootstrap of the largest. Source: Chernozhukov, Chetverikov & Kato (2013), arXiv:1212.6906."""
        firsts, seconds = np.triu_indices(len(self.measured), 1)
        sums = [self._sums_by_prompt(metric) for metric in METRICS]
        pairs = [(columns[:, a], columns[:, b]) for columns in sums for a, b in zip(firsts, seconds, strict=True)]
        norm = np.array([np.linalg.norm(one - other) for one, other in pairs])
        if not norm.any():
            return float(stats.norm.ppf(level))
        generator, largest = numpy_generator(0, "choose/bootstrap"), []
        for _ in range(0, draws, AT_ONCE):  # all weights for 40,000 images at once would take a gigabyte
            weights = generator.standard_normal((AT_ONCE, len(sums[0])))
            moved = [weights @ columns for columns in sums]  # AT_ONCE,K
            apart = np.abs(np.hstack([one[:, firsts] - one[:, seconds] for one in moved]))
            largest.append((apart[:, norm > 0] / norm[norm > 0]).max(axis=1))
        return float(np.quantile(np.concatenate(largest), level))

    def _sums_by_prompt(self, metric: str) -> np.ndarray:
        """prompts,K: the influence of all images of a prompt on each configuration."""
        influences = [getattr(measured, metric).influence for measured in self.measured]
        return np.column_stack([np.bincount(self.prompts, weights=influence) for influence in influences])
