"""CLIP score measures how well each picture shows its caption. Source: https://arxiv.org/abs/2104.08718."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.metrics.extractors import CLIP
from fashion_sweep.metrics.metric import Estimate, ImageBatch, Margin, Metric, RealImages

if TYPE_CHECKING:
    from torch import Tensor

SCORES = "clip_scores"
"""The name of the scores that are kept, one per image."""


class ClipScore(Metric):
    """The mean over images of 100 x cosine between the CLIP embeddings of an image and its caption."""

    name, title, short, better = "clip_score", "CLIP score", "CLIP", "higher"
    margin = Margin(0.3)
    image_range = (0.0, 100.0)
    extractors = (CLIP,)
    compares_features = False

    def per_image(self, batch: ImageBatch) -> "dict[str, Tensor]":
        from torch.nn.functional import cosine_similarity

        return {SCORES: 100 * cosine_similarity(batch.features(CLIP), batch.caption_features(CLIP))}

    def estimate(self, images: Mapping[str, np.ndarray], real: RealImages, evaluation: EvaluationConfig) -> Estimate:
        scores = images[SCORES]
        mean = np.mean(scores, dtype=np.float64)
        error = float(np.std(scores, ddof=1, dtype=np.float64) / math.sqrt(len(scores)))
        return Estimate(float(mean), scores - mean, standard_error=error)


CLIP_SCORE = ClipScore()
