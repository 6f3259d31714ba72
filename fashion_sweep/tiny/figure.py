"""Draws a standing figure in heights of the figure: y from 0 (hair) to 1 (feet), x 0 in its middle."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fashion_sweep.tiny.canvas import Canvas
from fashion_sweep.tiny.materials import COLORS, FABRICS, SKIN, Material
from fashion_sweep.tiny.shapes import Points, box, ellipse, part_of, rounded_box, smooth, stroke
from fashion_sweep.tiny.wardrobe import HAIRS, SKINS, DrawnGarment, Outfit

NECK, SHOULDER, WAIST, HIP, KNEE, ANKLE = 0.165, 0.195, 0.385, 0.47, 0.71, 0.945
SLEEVE_SHARE = {"no": 0.0, "short": 0.36, "medium": 0.66, "long": 1.0}
LEG_END = {"three-point": 0.63, "three-quarter": 0.83, "long": 0.955}
HEM = {"short": 0.59, "medium": 0.72, "long": 0.88}
GOLD, LENS = Material((0.93, 0.74, 0.28), fabric=FABRICS["leather"]), Material((0.09, 0.09, 0.11))
LEATHER = Material((0.30, 0.18, 0.10), fabric=FABRICS["leather"])


@dataclass(frozen=True)
class Pose:
    """Holds where the joints are. `arms`, `legs`: left and right, each from the body outwards, as paths."""

    arms: tuple[Points, Points]
    legs: tuple[Points, ...]
    head: float
    """The distance by which the head is turned aside."""
    has_head: bool = True

    def maimed(self, flaw: str) -> "Pose":
        """Returns the pose of a figure that is not whole: by a key of `FLAWS`."""
        return replace(self, **FLAWS[flaw](self))


FLAWS: dict[str, Callable[[Pose], dict[str, Any]]] = {
    "no head": lambda pose: {"has_head": False},
    "one leg": lambda pose: {"legs": pose.legs[:1]},
    "other leg": lambda pose: {"legs": pose.legs[1:]},
    "no legs": lambda pose: {"legs": ()},
}
"""What a figure can lack, for pictures that teach to tell whole ones."""


def strike(rng: np.random.Generator, woman: bool) -> Pose:
    stance, sway = rng.uniform(0.028, 0.062), rng.normal(0, 0.008)
    arms = tuple(_arm(rng, side, 0.098 if woman else 0.112) for side in (-1, 1))
    legs = tuple(
        np.array([(s * 0.042, HIP), (s * stance + sway, KNEE), (s * (stance + rng.uniform(-0.012, 0.02)), ANKLE)])
        for s in (-1, 1)
    )
    return Pose((arms[0], arms[1]), (legs[0], legs[1]), head=float(rng.normal(0, 0.008)))


def _arm(rng: np.random.Generator, side: int, shoulder: float) -> Points:
    start = (side * shoulder, SHOULDER + 0.02)
    if rng.random() < 0.2:  # hand on the hip
        return np.array([start, (side * (shoulder + 0.085), 0.345), (side * 0.088, 0.435)])
    out = rng.uniform(0.015, 0.055)
    elbow = (side * (shoulder + out), 0.345)
    return np.array([start, elbow, (side * (shoulder + out + rng.uniform(-0.02, 0.03)), 0.475)])


def draw_figure(canvas: Canvas, outfit: Outfit, pose: Pose, rng: np.random.Generator) -> None:
    tint = rng.uniform(0.93, 1.07, 3)  # no two reds are the same
    cloth = {garment: _material(garment, tint) for garment in (outfit.top, outfit.bottom) if garment}
    skin, hair = Material(SKINS[outfit.skin], fabric=SKIN), Material(HAIRS[outfit.hair], fabric=SKIN)
    if pose.has_head:
        _back_hair(canvas, outfit, pose, hair)
    _legs(canvas, outfit, pose, skin)
    if outfit.bottom:
        _bottom(canvas, outfit, pose, cloth[outfit.bottom])
    _torso(canvas, outfit, skin, cloth[outfit.top])
    if "belt" in outfit.accessories:
        canvas.paint(box(-0.083, WAIST + 0.032, 0.083, WAIST + 0.056), LEATHER, 0.01)
        canvas.paint(box(-0.014, WAIST + 0.03, 0.014, WAIST + 0.058), GOLD, 0.006)
    _arms(canvas, outfit, pose, skin, cloth[outfit.top])
    if pose.has_head:
        _head(canvas, outfit, pose, skin, hair)


def _material(garment: DrawnGarment, tint: np.ndarray) -> Material:
    red, green, blue = (float(min(1.0, c * t)) for c, t in zip(COLORS[garment.color], tint, strict=True))
    weave = garment.fabric if garment.fabric != "cotton" else ""
    second = COLORS[garment.second]
    return Material((red, green, blue), second, garment.pattern, FABRICS[garment.fabric], weave, garment.phase)


def _back_hair(canvas: Canvas, outfit: Outfit, pose: Pose, hair: Material) -> None:
    x = pose.head
    if outfit.haircut == "long":
        canvas.paint(smooth([(x - 0.06, 0.03), (x + 0.06, 0.03), (x + 0.085, 0.25), (x - 0.085, 0.25)]), hair, 0.03)
    elif outfit.haircut == "bob":
        canvas.paint(smooth([(x - 0.07, 0.02), (x + 0.07, 0.02), (x + 0.08, 0.15), (x - 0.08, 0.15)]), hair, 0.03)
    elif outfit.haircut == "bun":
        canvas.paint(ellipse(x, -0.005, 0.035, 0.032), hair, 0.02)


def _legs(canvas: Canvas, outfit: Outfit, pose: Pose, skin: Material) -> None:
    shoes = Material(COLORS[outfit.shoes], fabric=FABRICS["leather"])
    for leg in pose.legs:
        side = 1 if leg[0][0] > 0 else -1
        canvas.paint(stroke(leg, (0.05, 0.034, 0.022)), skin, 0.028)
        x, y = leg[-1]
        foot = [
            (x - side * 0.026, y - 0.004),
            (x + side * 0.022, y - 0.004),
            (x + side * 0.055, y + 0.05),
            (x - side * 0.03, y + 0.05),
        ]
        canvas.paint(smooth(foot), shoes, 0.012)


def _bottom(canvas: Canvas, outfit: Outfit, pose: Pose, cloth: Material) -> None:
    assert outfit.bottom is not None
    if outfit.bottom.kind == "skirt":
        canvas.paint(_skirt(HEM[outfit.bottom.length], outfit.woman), cloth, 0.045, shadow=0.35)
        return
    share = (LEG_END[outfit.bottom.length] - HIP) / (ANKLE - HIP)
    wide = 0.056 if outfit.bottom.kind == "shorts" else 0.05
    for leg in pose.legs:
        path = part_of(leg, min(1.0, share))
        middle = wide - 0.011 * min(1.0, share)
        widths = [wide, middle, max(0.03, middle - 0.006)][: len(path)]
        canvas.paint(stroke(path, widths), cloth, 0.03, shadow=0.25)
    hips = 0.095 if outfit.woman else 0.09
    canvas.paint(
        smooth([(-0.072, WAIST), (0.072, WAIST), (hips, HIP), (0.06, 0.53), (-0.06, 0.53), (-hips, HIP)]), cloth, 0.04
    )


def _skirt(hem: float, woman: bool) -> Points:
    flare = 0.10 + 0.16 * (hem - 0.55)
    return smooth([(-0.07, WAIST), (0.07, WAIST), (0.1, HIP), (flare, hem), (-flare, hem), (-0.1, HIP)], rounds=1)


def _torso(canvas: Canvas, outfit: Outfit, skin: Material, cloth: Material) -> None:
    top, wide = outfit.top, 0.098 if outfit.woman else 0.112
    canvas.paint(box(-0.027, 0.12, 0.027, 0.21), skin, 0.02)
    bare = smooth(
        [(-0.03, NECK), (0.03, NECK), (wide, SHOULDER), (wide * 0.9, 0.27), (-wide * 0.9, 0.27), (-wide, SHOULDER)]
    )
    canvas.paint(bare, skin, 0.035)
    strap = 0.072 if top.sleeves == "no" else wide
    waist = (0.07 if outfit.woman else 0.086) + (0.012 if top.kind == "sweater" else 0)
    sides = [(0.035, NECK + 0.003), (strap, SHOULDER - 0.004), (wide * 0.92, 0.26), (waist, WAIST - 0.01)]
    if top.kind == "dress":
        hem = HEM[outfit.dress_length]
        sides += [(0.098, HIP), (0.10 + 0.16 * (hem - 0.55), hem)]
    else:
        hem = HIP + {"sweater": 0.025, "shirt": 0.015}.get(top.kind, -0.01)
        sides += [(waist + 0.016, hem)]
    outline = np.array(sides + [(-x, y) for x, y in reversed(sides)])
    canvas.paint(smooth(outline, rounds=1), cloth, 0.04, shadow=0.3)
    _neckline(canvas, top.neckline, skin, cloth)


def _neckline(canvas: Canvas, neckline: str, skin: Material, cloth: Material) -> None:
    if neckline == "round":
        canvas.paint(ellipse(0, NECK + 0.006, 0.044, 0.042), skin, 0.02)
    elif neckline == "square":
        canvas.paint(box(-0.05, NECK - 0.005, 0.05, NECK + 0.062), skin, 0.02)
    else:
        canvas.paint(np.array([(-0.046, NECK - 0.005), (0.046, NECK - 0.005), (0, NECK + 0.105)]), skin, 0.02)
    if neckline == "lapel":
        flap = cloth.tinted(1.45 if sum(cloth.color) < 1.5 else 0.68)
        for side in (-1, 1):
            corners = [
                (side * 0.03, NECK - 0.02),
                (side * 0.078, NECK + 0.025),
                (side * 0.055, NECK + 0.085),
                (0, NECK + 0.125),
            ]
            canvas.paint(np.array(corners), flap, 0.012, shadow=0.2)
        canvas.paint(box(-0.005, NECK + 0.12, 0.005, HIP - 0.01), flap, 0.004)


def _arms(canvas: Canvas, outfit: Outfit, pose: Pose, skin: Material, cloth: Material) -> None:
    thick = 1.0 if outfit.woman else 1.15
    share = SLEEVE_SHARE[outfit.top.sleeves]
    loose = 1.25 if outfit.top.kind == "sweater" else 1.1
    for arm in pose.arms:
        canvas.paint(stroke(arm, (0.026 * thick, 0.021 * thick, 0.016 * thick)), skin, 0.018, shadow=0.25)
        canvas.paint(ellipse(arm[-1][0], arm[-1][1] + 0.018, 0.019, 0.027), skin, 0.015)
        if share:
            path = part_of(arm, share)
            widths = [0.033 * loose, 0.029 * loose, 0.025 * loose][: len(path)]
            canvas.paint(stroke(path, widths), cloth, 0.02, shadow=0.2)
    left, right = pose.arms[0][-1], pose.arms[1][-1]
    if "bag" in outfit.accessories:
        canvas.paint(stroke([left, (left[0], left[1] + 0.08)], (0.005, 0.005)), LEATHER, 0.004)
        canvas.paint(
            rounded_box(left[0] - 0.052, left[1] + 0.06, left[0] + 0.052, left[1] + 0.16, 0.02),
            LEATHER,
            0.02,
            shadow=0.2,
        )
    if "wrist" in outfit.accessories:
        canvas.paint(box(right[0] - 0.029, right[1] - 0.028, right[0] + 0.029, right[1] - 0.002), GOLD, 0.008)
    if "ring" in outfit.accessories:
        canvas.paint(ellipse(left[0], left[1] + 0.03, 0.014, 0.012, 10), GOLD, 0.006)


def _head(canvas: Canvas, outfit: Outfit, pose: Pose, skin: Material, hair: Material) -> None:
    x = pose.head
    canvas.paint(ellipse(x, 0.083, 0.05, 0.066), skin, 0.03, shadow=0.25)
    for side in (-1, 1):
        canvas.paint(ellipse(x * 1.6 + side * 0.019, 0.083, 0.0065, 0.007, 8), LENS, 0.004)
    canvas.paint(ellipse(x * 1.6, 0.12, 0.014, 0.005, 8), Material((0.66, 0.24, 0.24)), 0.004)
    if outfit.haircut != "bald":
        drop = 0.075 if outfit.woman else 0.05
        fringe = [
            (x - 0.058, drop),
            (x - 0.05, 0.02),
            (x, 0.0),
            (x + 0.05, 0.02),
            (x + 0.058, drop),
            (x + 0.03, 0.042),
            (x - 0.03, 0.038),
        ]
        canvas.paint(smooth(fringe), hair, 0.02)
    if "glasses" in outfit.accessories:
        for side in (-1, 1):
            canvas.paint(ellipse(x * 1.6 + side * 0.022, 0.083, 0.02, 0.016, 12), LENS, 0.008)
        canvas.paint(box(x * 1.6 - 0.012, 0.077, x * 1.6 + 0.012, 0.084), LENS, 0.004)
    if "hat" in outfit.accessories:
        felt = Material(COLORS[outfit.hat], fabric=FABRICS["cotton"])
        canvas.paint(
            smooth([(x - 0.052, 0.045), (x - 0.045, -0.035), (x + 0.045, -0.035), (x + 0.052, 0.045)]), felt, 0.03
        )
        canvas.paint(ellipse(x, 0.04, 0.088, 0.018), felt, 0.012, shadow=0.2)
