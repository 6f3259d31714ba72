"""How many images the metrics need, by the dimension of their features. Imports no torch."""

import json
from pathlib import Path

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.metrics.fid import SAMPLES_PER_DIMENSION, enough_samples
from fashion_sweep.models.sources import locate

INCEPTION_DIMENSION = 2048


def feature_dimension(config: EvaluationConfig) -> int:
    """d of the features, without loading weights."""
    if config.features != "tiny-clip":
        return INCEPTION_DIMENSION
    path = Path(locate(config.clip_model, "evaluation.clip_model")) / "open_clip_config.json"
    return int(json.loads(path.read_text(encoding="utf-8"))["model_cfg"]["embed_dim"])


def too_few_to_judge(name: str, records: int, evaluation: EvaluationConfig) -> str | None:
    """What keeps a set of so many images from being judged."""
    samples, dimension = min(evaluation.samples, records), feature_dimension(evaluation)
    if not enough_samples(samples, dimension):
        needed = f"{SAMPLES_PER_DIMENSION:g} x {dimension} = {round(SAMPLES_PER_DIMENSION * dimension)}"
        return f"data.{name}: {samples} images are too few for FID with {dimension} features; it needs {needed}"
    if samples < 2 * evaluation.kid_subset_size:
        return (
            f"data.{name}: {samples} images are too few for two KID subsets of {evaluation.kid_subset_size}; "
            "set a smaller evaluation.kid_subset_size"
        )
    return None
