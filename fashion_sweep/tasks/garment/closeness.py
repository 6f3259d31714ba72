"""Measures how close a picture comes to a garment's photo, in colour, in pattern, and to CLIP's eye.

Colour is the sliced Wasserstein distance between the pixels of both regions in CIELAB, in units of ΔE (Rabin et al.
2011). Pattern compares what is left of them after Gabor filters of three frequencies and four directions (Manjunath
and Ma 1996), both at one size, so that a small or soft picture is compared with as much as it can show. CLIP is the
cosine between the embeddings of both regions, cut out on grey. `score` weighs the three together.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file
from scipy.ndimage import convolve
from scipy.stats import wasserstein_distance
from skimage.color import rgb2lab
from skimage.filters import gabor_kernel

from fashion_sweep.rng import numpy_generator
from fashion_sweep.storage.files import write_tensors
from fashion_sweep.tasks.garment.region import garment_region

PIXELS = 4096
"""The most pixels of a region that are compared."""
DIRECTIONS = 24
HEIGHTS = (24, 48, 96)
"""The heights in pixels to which two regions are brought before their patterns are compared: the largest that both
have, or the first. On rendered garments, drawn twice, local binary patterns told nothing from pictures of 64 pixels."""
FREQUENCIES = (0.1, 0.16, 0.25)
"""The frequencies of the Gabor filters, in cycles a pixel."""
ANGLES = 4
GREY = 128
COLOUR_SCALE = 15.0
"""The distance in ΔE at which the likeness in colour has fallen to 1/e."""
PATTERN_SCALE = 0.4
"""The difference in pattern at which the likeness in pattern has fallen to 1/e."""
WEIGHTS = {"colour": 0.5, "pattern": 0.25, "clip": 0.25}


@dataclass(frozen=True)
class Look:
    """Holds what is compared of a picture: its garment's region."""

    lab: np.ndarray
    """The colours of the region in CIELAB: M,3 float64."""
    patterns: Mapping[int, np.ndarray]
    """The patterns, by each height that the region has: 3,filters float64. They are the logarithm of 1 + each
    filter's energy in ΔE."""
    embedding: np.ndarray
    """CLIP's embedding of the region: d float64, of length 1."""
    region: float
    """The region's share of the picture, above 0."""

    def save(self, path: Path) -> None:
        tensors = {f"pattern/{height}": energies for height, energies in self.patterns.items()}
        write_tensors(path, tensors | {"lab": self.lab, "embedding": self.embedding, "region": np.array([self.region])})

    @classmethod
    def load(cls, path: Path) -> "Look":
        tensors = load_file(path)
        patterns = {int(name.partition("/")[2]): tensors[name] for name in tensors if name.startswith("pattern/")}
        return cls(tensors["lab"], patterns, tensors["embedding"], float(tensors["region"][0]))


@dataclass(frozen=True)
class Closeness:
    colour: float
    """The distance in colour in ΔE, 0 or more; less is closer."""
    pattern: float
    """The mean difference of the patterns' logarithms, 0 or more; less is closer."""
    clip: float
    """The cosine of CLIP's embeddings, in [-1, 1]; more is closer."""

    @property
    def score(self) -> float:
        """Returns the three measures weighed together, 0 to 100; more is closer."""
        alike = {
            "colour": math.exp(-self.colour / COLOUR_SCALE),
            "pattern": math.exp(-self.pattern / PATTERN_SCALE),
            "clip": max(self.clip, 0.0),
        }
        return 100 * sum(weight * alike[name] for name, weight in WEIGHTS.items())


@dataclass(frozen=True)
class Cut:
    """Holds the smallest rectangle around the garment."""

    pixels: np.ndarray
    """The pixels of the rectangle: uint8 h,w,3, grey where the garment is not."""
    region: np.ndarray
    """The garment's region in the rectangle: bool h,w."""
    share: float
    """The share of the picture that the region covers."""


def cut_out(pixels: np.ndarray, kind: str) -> Cut:
    region = garment_region(pixels, kind)
    rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    grey = np.where(region[box][..., None], pixels[box], GREY).astype(np.uint8)
    return Cut(grey, region[box], float(region.mean()))


def look_of(cut: Cut, embedding: np.ndarray) -> Look:
    """Returns the look of a cut; `embedding` is CLIP's of the cut's pixels, of length d."""
    unit = embedding.astype(np.float64) / np.linalg.norm(embedding)
    return Look(_colours(cut.pixels, cut.region), _patterns(cut.pixels, cut.region), unit, cut.share)


def closeness(ours: Look, theirs: Look) -> Closeness:
    height = max(ours.patterns.keys() & theirs.patterns.keys())
    return Closeness(
        colour=_sliced_wasserstein(ours.lab, theirs.lab),
        pattern=float(np.abs(ours.patterns[height] - theirs.patterns[height]).mean()),
        clip=float(ours.embedding @ theirs.embedding),
    )


def _colours(cut: np.ndarray, region: np.ndarray) -> np.ndarray:
    pixels = cut[region]
    if len(pixels) > PIXELS:
        pixels = pixels[np.linspace(0, len(pixels) - 1, PIXELS).astype(int)]
    return np.asarray(rgb2lab(pixels[None])[0], dtype=np.float64)


def _patterns(cut: np.ndarray, region: np.ndarray) -> dict[int, np.ndarray]:
    mean = cut[region].mean(axis=0)
    filled = Image.fromarray(np.where(region[..., None], cut, mean).astype(np.uint8))
    patterns = {}
    for height in [one for one in HEIGHTS if one <= max(cut.shape[0], HEIGHTS[0])]:
        size = (max(4, round(cut.shape[1] * height / cut.shape[0])), height)
        inside = np.asarray(Image.fromarray(region).resize(size, Image.Resampling.NEAREST))
        lab = rgb2lab(np.asarray(filled.resize(size, Image.Resampling.LANCZOS)))
        patterns[height] = np.array([_energies(lab[..., channel], inside) for channel in range(3)])
    return patterns


def _energies(values: np.ndarray, inside: np.ndarray) -> list[float]:
    """Returns the energy of each filter in the region; 0 where the region is so small that nothing of it is left."""
    if not inside.any():
        return [0.0] * len(_filters())
    centred = np.where(inside, values - values[inside].mean(), 0.0)
    parts = [np.hypot(convolve(centred, one.real), convolve(centred, one.imag)) for one in _filters()]
    return [float(np.log1p(np.sqrt((part[inside] ** 2).mean()))) for part in parts]


@lru_cache(maxsize=1)
def _filters() -> list[np.ndarray]:
    angles = np.arange(ANGLES) * np.pi / ANGLES
    return [gabor_kernel(frequency, theta=angle) for frequency in FREQUENCIES for angle in angles]


def _sliced_wasserstein(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the sliced Wasserstein distance over fixed directions, in the units of the space: the mean, doubled, for
    in three dimensions a shift is seen at half its length on average."""
    directions = _directions()
    distances = [wasserstein_distance(a @ direction, b @ direction) for direction in directions]
    return 2 * float(np.mean(distances))


def _directions() -> np.ndarray:
    """Returns the fixed directions: DIRECTIONS,3, of length 1."""
    drawn = numpy_generator(0, "closeness/directions").standard_normal((DIRECTIONS, 3))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
