"""How close a picture comes to a garment's photo, in colour, in pattern, and to CLIP's eye.

Colour is the sliced Wasserstein distance between the pixels of both regions in CIELAB, in units of ΔE (Rabin et al.
2011); pattern is the distance between histograms of local binary patterns at three scales (Ojala et al. 2002), in
[0, 1]; CLIP is the cosine between the embeddings of both regions, cut out on grey. `score` weighs the three together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.stats import wasserstein_distance
from skimage.color import rgb2gray, rgb2lab
from skimage.feature import local_binary_pattern

from fashion_sweep.draws import numpy_generator
from fashion_sweep.garment.region import garment_region

PIXELS = 4096
"""Of a region that are compared, at most."""
DIRECTIONS = 24
HEIGHT = 256
"""Pixels to which a region is brought before its pattern is taken, so that pictures of all sizes compare."""
RADII = (1, 2, 4)
POINTS = 8
GREY = 128
COLOUR_SCALE = 15.0
"""ΔE at which the likeness in colour has fallen to 1/e."""
WEIGHTS = {"colour": 0.5, "pattern": 0.25, "clip": 0.25}


@dataclass(frozen=True)
class Look:
    """What is compared of a picture: its garment's region."""

    lab: np.ndarray
    """M,3 float64."""
    patterns: np.ndarray
    """scales,bins float64; each row sums to 1."""
    embedding: np.ndarray
    """d float64, of length 1."""


@dataclass(frozen=True)
class Closeness:
    colour: float
    """ΔE, 0 or more; less is closer."""
    pattern: float
    """In [0, 1]; less is closer."""
    clip: float
    """Cosine, in [-1, 1]; more is closer."""

    @property
    def score(self) -> float:
        """0 to 100; more is closer."""
        alike = {"colour": float(np.exp(-self.colour / COLOUR_SCALE)), "pattern": 1 - self.pattern}
        alike["clip"] = max(self.clip, 0.0)
        return 100 * sum(weight * alike[name] for name, weight in WEIGHTS.items())


def cut_out(pixels: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """uint8 h,w,3 and bool h,w: the smallest rectangle around the garment, grey where the garment is not."""
    region = garment_region(pixels, kind)
    rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.where(region[box][..., None], pixels[box], GREY).astype(np.uint8), region[box]


def looks(cuts: Sequence[tuple[np.ndarray, np.ndarray]], embeddings: np.ndarray) -> list[Look]:
    """Args:
    cuts: of `cut_out`.
    embeddings: N,d, CLIP's of these cuts.
    """
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    unit = embeddings.astype(np.float64) / lengths
    return [Look(_colours(*cut), _patterns(*cut), row) for cut, row in zip(cuts, unit, strict=True)]


def closeness(ours: Look, theirs: Look) -> Closeness:
    return Closeness(
        colour=_sliced_wasserstein(ours.lab, theirs.lab),
        pattern=float(np.abs(ours.patterns - theirs.patterns).sum(axis=1).mean() / 2),
        clip=float(ours.embedding @ theirs.embedding),
    )


def _colours(cut: np.ndarray, region: np.ndarray) -> np.ndarray:
    pixels = cut[region]
    if len(pixels) > PIXELS:
        pixels = pixels[np.linspace(0, len(pixels) - 1, PIXELS).astype(int)]
    return np.asarray(rgb2lab(pixels[None])[0], dtype=np.float64)


def _patterns(cut: np.ndarray, region: np.ndarray) -> np.ndarray:
    scale = HEIGHT / cut.shape[0]
    size = (max(1, round(cut.shape[1] * scale)), HEIGHT)
    grey = (rgb2gray(np.asarray(Image.fromarray(cut).resize(size, Image.Resampling.LANCZOS))) * 255).astype(np.uint8)
    inside = np.asarray(Image.fromarray(region).resize(size, Image.Resampling.NEAREST))
    rows = []
    for radius in RADII:
        codes = local_binary_pattern(grey, POINTS, radius, method="uniform")
        counts = np.bincount(codes[inside].astype(int), minlength=POINTS + 2).astype(np.float64)
        rows.append(counts / max(counts.sum(), 1.0))
    return np.array(rows)


def _sliced_wasserstein(a: np.ndarray, b: np.ndarray) -> float:
    """Over fixed directions, in the units of the space: the mean, doubled, for in three dimensions a shift is seen at
    half its length on average."""
    directions = _directions()
    distances = [wasserstein_distance(a @ direction, b @ direction) for direction in directions]
    return 2 * float(np.mean(distances))


def _directions() -> np.ndarray:
    """DIRECTIONS,3, of length 1."""
    drawn = numpy_generator(0, "closeness/directions").standard_normal((DIRECTIONS, 3))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
