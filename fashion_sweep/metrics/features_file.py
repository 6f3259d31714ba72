"""What judging leaves of a trial on one evaluation set: features and scores of each image, with its prompt."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from fashion_sweep.errors import RunError


@dataclass(frozen=True)
class Judged:
    """Of n images, in the order of their prompts. Reads without torch."""

    features: np.ndarray
    """n,d float32."""
    clip_scores: np.ndarray
    """n float32."""
    prompts: list[str]
    """Names of the records whose captions were the prompts."""

    @classmethod
    def load(cls, path: Path) -> "Judged":
        """Raises:
        RunError: the file is not there, damaged, or holds values that are not finite.
        """
        try:
            with safe_open(path, "np") as file:
                prompts = json.loads((file.metadata() or {})["prompts"])
                judged = cls(file.get_tensor("features"), file.get_tensor("clip_scores"), prompts)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise _unusable(path, f"damaged ({type(error).__name__})") from error
        features, scores = judged.features, judged.clip_scores
        if features.ndim != 2 or not len(features) == len(scores) == len(prompts):
            raise _unusable(path, "not one row of features and one score for each prompt")
        if not (np.isfinite(features).all() and np.isfinite(scores).all()):
            raise _unusable(path, "holding values that are not finite")
        return judged


def _unusable(path: Path, what: str) -> RunError:
    return RunError(f"{path} is {what}; remove result.json beside it and run again to have the trial judged anew")
