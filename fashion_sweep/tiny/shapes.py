"""Makes outlines: closed polygons as float arrays of shape (n, 2), x to the right and y down, in the caller's unit."""

from collections.abc import Sequence

import numpy as np

Points = np.ndarray
Path = Sequence[tuple[float, float]]


def ellipse(x: float, y: float, rx: float, ry: float, corners: int = 24) -> Points:
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)


def box(left: float, top: float, right: float, bottom: float) -> Points:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def rounded_box(left: float, top: float, right: float, bottom: float, radius: float) -> Points:
    r = min(radius, (right - left) / 2, (bottom - top) / 2)
    angle = np.linspace(0, np.pi / 2, 5)
    corners = [(right - r, bottom - r, 0), (left + r, bottom - r, 1), (left + r, top + r, 2), (right - r, top + r, 3)]
    arcs = [
        np.stack([x + r * np.cos(angle + q * np.pi / 2), y + r * np.sin(angle + q * np.pi / 2)], axis=1)
        for x, y, q in corners
    ]
    return np.concatenate(arcs)


def smooth(points: Path | Points, rounds: int = 2) -> Points:
    """Smooths an outline by Chaikin's corner cutting."""
    outline = np.asarray(points, dtype=float)
    for _ in range(rounds):
        after = np.roll(outline, -1, axis=0)
        outline = np.stack([0.75 * outline + 0.25 * after, 0.25 * outline + 0.75 * after], axis=1).reshape(-1, 2)
    return outline


def stroke(path: Path | Points, widths: Sequence[float]) -> Points:
    """Returns a limb along `path`: half-width `widths[i]` at its i-th point, with rounded ends."""
    centre, half = np.asarray(path, dtype=float), np.asarray(widths, dtype=float)
    along = np.gradient(centre, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True) + 1e-9
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) * half[:, None]
    first, last = centre[0] - along[0] * half[0] * 0.6, centre[-1] + along[-1] * half[-1] * 0.6
    return smooth(np.concatenate([[first], centre + normal, [last], (centre - normal)[::-1]]))


def part_of(path: Path | Points, fraction: float) -> Points:
    """Returns the first `fraction` (0 to 1) of a path, by length."""
    points = np.asarray(path, dtype=float)
    lengths = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    end = fraction * lengths[-1]
    kept = points[lengths < end]
    tip = np.array([np.interp(end, lengths, points[:, axis]) for axis in (0, 1)])
    return np.concatenate([kept, tip[None]])
