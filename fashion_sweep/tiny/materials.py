"""Defines what a surface looks like: colours by name, fabrics, and patterns as functions of the place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

Rgb = tuple[float, float, float]

COLORS: dict[str, Rgb] = {
    "red": (0.80, 0.12, 0.13),
    "orange": (0.93, 0.50, 0.12),
    "yellow": (0.93, 0.82, 0.22),
    "green": (0.18, 0.52, 0.24),
    "teal": (0.10, 0.55, 0.56),
    "blue": (0.20, 0.38, 0.80),
    "navy": (0.11, 0.15, 0.36),
    "purple": (0.47, 0.22, 0.60),
    "pink": (0.94, 0.60, 0.70),
    "brown": (0.44, 0.27, 0.16),
    "beige": (0.85, 0.76, 0.60),
    "white": (0.94, 0.94, 0.93),
    "gray": (0.53, 0.54, 0.55),
    "black": (0.10, 0.10, 0.11),
}
INK: Rgb = (0.08, 0.07, 0.09)


def channels(color: Sequence[float]) -> np.ndarray:
    """Returns a colour as float32 of shape (3,)."""
    return np.asarray(color, dtype=np.float32)


class Fabric(NamedTuple):
    """Describes how a fabric meets the light; all values from 0 to 1."""

    folds: float
    gloss: float
    weave: float
    opacity: float


FABRICS = {
    "cotton": Fabric(folds=0.35, gloss=0.0, weave=0.15, opacity=1.0),
    "denim": Fabric(folds=0.45, gloss=0.0, weave=0.8, opacity=1.0),
    "chiffon": Fabric(folds=0.7, gloss=0.12, weave=0.0, opacity=0.72),
    "knitted": Fabric(folds=0.15, gloss=0.0, weave=1.0, opacity=1.0),
    "leather": Fabric(folds=0.5, gloss=0.9, weave=0.0, opacity=1.0),
}
PLAIN = Fabric(folds=0.0, gloss=0.15, weave=0.0, opacity=1.0)
SKIN = Fabric(folds=0.0, gloss=0.12, weave=0.0, opacity=1.0)


@dataclass(frozen=True)
class Material:
    """Describes a surface: `pattern` is a key of `PATTERNS`; `phase` shifts it, so that no two garments are alike."""

    color: Rgb
    second: Rgb = INK
    pattern: str = "pure color"
    fabric: Fabric = PLAIN
    weave: str = ""
    phase: float = 0.0

    def tinted(self, factor: float) -> "Material":
        """Returns the material lighter (above 1) or darker, and without pattern."""
        red, green, blue = (min(1.0, channel * factor) for channel in self.color)
        return replace(self, color=(red, green, blue), pattern="pure color")

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Returns the unlit colours h,w,3 at places h,w (in heights of a figure)."""
        share = PATTERNS[self.pattern](x, y, self.phase)[..., None].astype(np.float32)
        return channels(self.color) * (1 - share) + channels(self.second) * share


def _plain(x: np.ndarray, y: np.ndarray, phase: float) -> np.ndarray:
    return np.zeros_like(x)


def _stripes(x: np.ndarray, y: np.ndarray, phase: float) -> np.ndarray:
    return _wave((y + phase) / 0.075) > 0.25


def _plaid(x: np.ndarray, y: np.ndarray, phase: float) -> np.ndarray:
    across, down = _wave((x + phase) / 0.08) > 0.3, _wave((y + phase) / 0.08) > 0.3
    return 0.5 * across + 0.5 * down


def _floral(x: np.ndarray, y: np.ndarray, phase: float) -> np.ndarray:
    row = np.floor((y + phase) / 0.058)
    u, v = (x + phase) / 0.058 + 0.5 * (row % 2), (y + phase) / 0.058
    return (u % 1 - 0.5) ** 2 + (v % 1 - 0.5) ** 2 < 0.085


def _graphic(x: np.ndarray, y: np.ndarray, phase: float) -> np.ndarray:
    """Returns a motif on the chest: a disc or a box, with a hole."""
    u, v = np.abs(x), np.abs(y - 0.3)
    distance = np.maximum(u, v) if phase > 0.5 else np.sqrt(u * u + v * v)
    return (distance < 0.052) & (distance > 0.02)


def _color_block(x: np.ndarray, y: np.ndarray, phase: float) -> np.ndarray:
    """Returns two halves: of a top where the chest ends, of a lower garment at the knee."""
    return np.where(y < 0.45, y > 0.31, y > 0.6)


def _wave(turns: np.ndarray) -> np.ndarray:
    return np.sin(2 * np.pi * turns)


PATTERNS = {
    "pure color": _plain,
    "striped": _stripes,
    "plaid": _plaid,
    "floral": _floral,
    "graphic": _graphic,
    "color block": _color_block,
}


def weave_relief(weave: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the relative brightness, around 0, of a fabric's own texture at places h,w."""
    if weave == "knitted":
        return 0.13 * _wave(x / 0.034) * (1 + 0.6 * _wave(y / 0.03))
    if weave == "denim":
        return 0.08 * _wave((x + 0.6 * y) / 0.022) + 0.09 * _wave(x / 0.21 + 0.1) * _wave(y / 0.33)
    return np.zeros_like(x)
