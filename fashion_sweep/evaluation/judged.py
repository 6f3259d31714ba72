"""What judging leaves of a trial on one evaluation set: features and scores of each image, with its prompt."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open


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
        with safe_open(path, "np") as file:
            prompts = json.loads(file.metadata()["prompts"])
            return cls(file.get_tensor("features"), file.get_tensor("clip_scores"), prompts)
