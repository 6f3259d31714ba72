"""Renders what is behind a figure: H,W,3 float32 in [0, 1]."""

import numpy as np
from PIL import Image

from fashion_sweep.tiny.materials import COLORS, channels

WALLS = {
    "gray": (0.62, 0.62, 0.63),
    "white": (0.86, 0.86, 0.85),
    "beige": (0.78, 0.71, 0.61),
    "blue": (0.55, 0.65, 0.76),
}


def flat(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Renders the background of a drawing: one pale colour, perhaps a ground of another."""
    names = list(COLORS)
    color = 0.45 * channels(COLORS[names[rng.integers(len(names))]]) + 0.55
    picture = np.broadcast_to(color, (height, width, 3)).copy()
    if rng.random() < 0.4:
        picture[int(height * rng.uniform(0.78, 0.9)) :] *= 0.82
    return picture


def studio(rng: np.random.Generator, width: int, height: int, wall: str, feet: float) -> np.ndarray:
    """Renders a wall lit from one side and a floor it passes into; `feet`: the height in pixels where one stands."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    spot = (x - rng.uniform(0.1, 0.6)) ** 2 + (y - rng.uniform(0.1, 0.5)) ** 2
    light = 1.08 - rng.uniform(0.25, 0.55) * spot
    horizon = feet / height - rng.uniform(0.05, 0.14)
    light += rng.uniform(-0.12, 0.1) / (1 + np.exp(-(y - horizon) * 60))
    return channels(WALLS[wall]) * light[..., None]


def outdoors(rng: np.random.Generator, width: int, height: int, place: str, feet: float) -> np.ndarray:
    """Renders a street or a park, out of focus."""
    columns, rows = 9, 12
    field = rng.uniform(0.75, 1.25, (rows, columns, 1)).astype(np.float32)
    upper, lower = (
        ((0.48, 0.46, 0.45), (0.42, 0.41, 0.40)) if place == "street" else ((0.30, 0.44, 0.22), (0.42, 0.50, 0.27))
    )
    ground = int(rows * min(0.95, feet / height - 0.15))
    small = np.where(np.arange(rows)[:, None, None] < ground, channels(upper), channels(lower)) * field
    if place == "street":
        small[: ground // 2, rng.integers(columns)] += channels([0.3, 0.33, 0.38])
        small[ground:] = channels(lower) * (1 + 0.05 * field[ground:])
    for _ in range(3):  # signs, flowers, lamps
        small[rng.integers(ground), rng.integers(columns)] += rng.uniform(-0.15, 0.4, 3)
    image = Image.fromarray((np.clip(small, 0, 1) * 255).astype(np.uint8))
    blurred = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    return blurred * rng.uniform(0.85, 1.15)


GROUNDS = {  # where the horizon is, what is above it, what is below
    "room": (
        0.70,
        ((0.80, 0.77, 0.70), (0.66, 0.73, 0.76), (0.82, 0.74, 0.66)),
        ((0.52, 0.37, 0.25), (0.55, 0.50, 0.46)),
    ),
    "tiles": (0.88, ((0.74, 0.82, 0.83), (0.84, 0.81, 0.74), (0.70, 0.76, 0.72)), ((0.58, 0.58, 0.57),)),
    "road": (0.60, ((0.56, 0.72, 0.90), (0.78, 0.82, 0.86)), ((0.38, 0.38, 0.39),)),
    "grass": (0.55, ((0.50, 0.70, 0.92), (0.74, 0.82, 0.88)), ((0.36, 0.55, 0.22), (0.45, 0.56, 0.25))),
    "table": (
        0.72,
        ((0.70, 0.68, 0.64), (0.55, 0.60, 0.62), (0.75, 0.66, 0.58)),
        ((0.52, 0.34, 0.20), (0.40, 0.26, 0.17)),
    ),
    "sea": (0.45, ((0.48, 0.70, 0.93), (0.92, 0.72, 0.55)), ((0.14, 0.38, 0.55),)),
    "board": (-1.0, ((0.55, 0.38, 0.24),), ((0.56, 0.38, 0.23), (0.35, 0.36, 0.38), (0.75, 0.70, 0.62))),
}


def of_a_scene(rng: np.random.Generator, width: int, height: int, place: str) -> np.ndarray:
    """Renders a scene's background, lit from one side, with a texture of its own above and below the horizon."""
    horizon, above, below = GROUNDS[place]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    upper, lower = channels(above[rng.integers(len(above))]), channels(below[rng.integers(len(below))])
    ground = (y > horizon + rng.uniform(-0.03, 0.03))[..., None]
    light = 1.1 - rng.uniform(0.1, 0.35) * np.abs(x - rng.uniform(0, 1.3))
    fine = rng.standard_normal((height // 2 + 1, max(2, width // 12), 1)).astype(np.float32)
    speckle = np.asarray(Image.fromarray(fine[..., 0]).resize((width, height), Image.Resampling.BILINEAR))
    light = light + np.where(ground[..., 0], 0.05 * speckle + 0.25 * (y - max(horizon, 0.3)), 0.01 * speckle)
    picture = np.where(ground, lower, upper) * light[..., None]
    if place == "tiles":
        picture *= np.where((x % 0.16 < 0.012) | (y % 0.16 < 0.012), 0.86, 1.0).astype(np.float32)[..., None]
    if place == "sea":
        sand = (y > 0.8)[..., None]
        picture = np.where(sand, channels((0.85, 0.75, 0.55)) * light[..., None], picture)
    return np.clip(picture, 0, 1)


def ground_shadow(picture: np.ndarray, x: float, y: float, reach: float) -> None:
    """Darkens where a figure stands, in place; `x`, `y` and `reach` are in pixels."""
    rows, columns = np.mgrid[0 : picture.shape[0], 0 : picture.shape[1]].astype(np.float32)
    distance = ((columns - x) / reach) ** 2 + ((rows - y) / (0.22 * reach)) ** 2
    picture *= (1 - 0.5 * np.exp(-distance))[..., None]
