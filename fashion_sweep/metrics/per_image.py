"""Reads what is kept of each generated image, features and scores, from a file for each batch and then for all."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file


def load_per_image(paths: Iterable[Path]) -> dict[str, np.ndarray]:
    """Loads what was kept in several files, one after the other: rows of float32 by name."""
    parts = [load_file(path) for path in paths]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
