"""Draws the things that scenes are made of, each on (x, y), the middle of its foot. Unit: height of the scene."""

import numpy as np

from fashion_sweep.tiny.canvas import Canvas
from fashion_sweep.tiny.materials import COLORS, FABRICS, Material
from fashion_sweep.tiny.shapes import box, ellipse, rounded_box, smooth, stroke

COTTON, GLOSSY = FABRICS["cotton"], FABRICS["leather"]
WOOD, DARK, PALE = (
    Material((0.50, 0.33, 0.20), fabric=COTTON),
    Material((0.07, 0.07, 0.08)),
    Material((0.93, 0.93, 0.92)),
)
GLASS, LEAVES = Material((0.70, 0.82, 0.93), fabric=GLOSSY), Material((0.18, 0.42, 0.17), fabric=COTTON)
CHINA = Material((0.92, 0.93, 0.94), fabric=GLOSSY)
CATS = {
    "gray": (0.48, 0.48, 0.50),
    "black": (0.11, 0.11, 0.12),
    "orange": (0.82, 0.50, 0.20),
    "white": (0.90, 0.89, 0.86),
}
DOGS = {"brown": (0.45, 0.28, 0.16), "black": (0.12, 0.11, 0.12), "white": (0.90, 0.88, 0.85)}
FRUIT = {"apples": (0.78, 0.12, 0.12), "oranges": (0.95, 0.55, 0.10), "bananas": (0.95, 0.83, 0.25)}


def colored(name: str, glossy: bool = False) -> Material:
    return Material(COLORS[name], fabric=GLOSSY if glossy else COTTON)


def couch(canvas: Canvas, x: float, y: float, width: float, color: str) -> None:
    cloth, half = colored(color), width / 2
    canvas.paint(rounded_box(x - half, y - 0.34, x + half, y - 0.04, 0.05), cloth, 0.04, shadow=0.4)
    canvas.paint(rounded_box(x - half + 0.05, y - 0.17, x, y - 0.04, 0.03), cloth.tinted(1.12), 0.03, shadow=0.2)
    canvas.paint(rounded_box(x, y - 0.17, x + half - 0.05, y - 0.04, 0.03), cloth.tinted(1.12), 0.03, shadow=0.2)
    for side in (-1, 1):
        arm = sorted((x + side * half, x + side * (half - 0.09)))
        canvas.paint(rounded_box(arm[0], y - 0.23, arm[1], y, 0.04), cloth.tinted(0.92), 0.03, shadow=0.2)


def table(canvas: Canvas, x: float, y: float, width: float, height: float) -> None:
    for side in (-1, 1):
        leg = x + side * (width / 2 - 0.04)
        canvas.paint(box(leg - 0.018, y - height, leg + 0.018, y), WOOD.tinted(0.8), 0.012)
    canvas.paint(
        rounded_box(x - width / 2, y - height - 0.03, x + width / 2, y - height + 0.025, 0.015), WOOD, 0.02, shadow=0.4
    )


def window(canvas: Canvas, x: float, y: float, width: float, height: float) -> None:
    canvas.paint(box(x - width / 2, y - height, x + width / 2, y), PALE, 0.015, shadow=0.15)
    for left in (x - width / 2 + 0.02, x + 0.008):
        canvas.paint(box(left, y - height + 0.025, left + width / 2 - 0.028, y - 0.025), GLASS, 0.03)


def lamp(canvas: Canvas, x: float, y: float) -> None:
    canvas.paint(box(x - 0.01, y - 0.4, x + 0.01, y), DARK, 0.008)
    shade = np.array([(x - 0.04, y - 0.5), (x + 0.04, y - 0.5), (x + 0.075, y - 0.36), (x - 0.075, y - 0.36)])
    canvas.paint(shade, Material((0.98, 0.90, 0.66)), 0.03)


def picture_frame(canvas: Canvas, x: float, y: float, color: str) -> None:
    canvas.paint(box(x - 0.11, y - 0.17, x + 0.11, y), DARK, 0.012, shadow=0.2)
    canvas.paint(box(x - 0.09, y - 0.15, x + 0.09, y - 0.02), colored(color), 0.02)


def cat(canvas: Canvas, x: float, y: float, color: str) -> None:
    """Draws a lying cat; the head to the left."""
    fur = Material(CATS[color], fabric=COTTON)
    canvas.paint(
        stroke([(x + 0.2, y - 0.06), (x + 0.3, y - 0.08), (x + 0.32, y - 0.17)], (0.022, 0.02, 0.014)), fur, 0.02
    )
    canvas.paint(ellipse(x + 0.05, y - 0.09, 0.2, 0.1), fur, 0.06, shadow=0.35)
    for side in (-1, 1):
        ear = x - 0.16 + side * 0.045
        canvas.paint(
            np.array([(ear - 0.03, y - 0.19), (ear + 0.03, y - 0.19), (ear + side * 0.012, y - 0.27)]), fur, 0.012
        )
    canvas.paint(ellipse(x - 0.16, y - 0.14, 0.085, 0.075), fur, 0.05, shadow=0.25)
    eyes = Material((0.75, 0.80, 0.25)) if color == "black" else DARK
    for side in (-1, 1):
        canvas.paint(ellipse(x - 0.165 + side * 0.032, y - 0.15, 0.012, 0.012, 8), eyes, 0.004)


def dog(canvas: Canvas, x: float, y: float, color: str) -> None:
    """Draws a standing dog; the head to the left."""
    fur = Material(DOGS[color], fabric=COTTON)
    for leg in (-0.11, -0.06, 0.1, 0.15):
        canvas.paint(stroke([(x + leg, y - 0.14), (x + leg, y)], (0.024, 0.02)), fur.tinted(0.85), 0.015)
    canvas.paint(stroke([(x + 0.17, y - 0.2), (x + 0.26, y - 0.29)], (0.018, 0.012)), fur, 0.012)
    canvas.paint(ellipse(x + 0.02, y - 0.18, 0.18, 0.085), fur, 0.05, shadow=0.25)
    canvas.paint(ellipse(x - 0.18, y - 0.27, 0.075, 0.07), fur, 0.04, shadow=0.2)
    canvas.paint(ellipse(x - 0.25, y - 0.25, 0.045, 0.035), fur.tinted(1.1), 0.02)
    canvas.paint(ellipse(x - 0.285, y - 0.258, 0.014, 0.012, 8), DARK, 0.004)
    canvas.paint(ellipse(x - 0.13, y - 0.26, 0.028, 0.065), fur.tinted(0.7), 0.02)


def car(canvas: Canvas, x: float, y: float, color: str) -> None:
    paint = colored(color, glossy=True)
    body = [
        (x - 0.33, y - 0.07),
        (x - 0.32, y - 0.15),
        (x - 0.19, y - 0.17),
        (x - 0.11, y - 0.27),
        (x + 0.13, y - 0.27),
    ]
    body += [(x + 0.22, y - 0.17), (x + 0.33, y - 0.15), (x + 0.34, y - 0.06)]
    canvas.paint(smooth(body, 1), paint, 0.04, shadow=0.35)
    for left, right in ((-0.13, 0.0), (0.02, 0.15)):
        pane = [
            (x + left + 0.02, y - 0.25),
            (x + right - 0.01, y - 0.25),
            (x + right, y - 0.175),
            (x + left - 0.02, y - 0.175),
        ]
        canvas.paint(np.array(pane), Material((0.25, 0.32, 0.38), fabric=GLOSSY), 0.02)
    for wheel in (-0.2, 0.2):
        canvas.paint(ellipse(x + wheel, y - 0.055, 0.062, 0.062), DARK, 0.02)
        canvas.paint(ellipse(x + wheel, y - 0.055, 0.028, 0.028), Material((0.7, 0.7, 0.72), fabric=GLOSSY), 0.01)


def bus(canvas: Canvas, x: float, y: float, color: str) -> None:
    canvas.paint(
        rounded_box(x - 0.42, y - 0.45, x + 0.42, y - 0.06, 0.05), colored(color, glossy=True), 0.05, shadow=0.35
    )
    for pane in range(4):
        left = x - 0.37 + pane * 0.19
        canvas.paint(box(left, y - 0.38, left + 0.16, y - 0.23), Material((0.30, 0.38, 0.45), fabric=GLOSSY), 0.02)
    for wheel in (-0.25, 0.25):
        canvas.paint(ellipse(x + wheel, y - 0.065, 0.065, 0.065), DARK, 0.02)


def tree(canvas: Canvas, x: float, y: float, size: float) -> None:
    canvas.paint(stroke([(x, y), (x, y - 0.5 * size)], (0.035 * size, 0.022 * size)), WOOD.tinted(0.75), 0.02)
    for dx, dy, radius in ((-0.13, 0.55, 0.15), (0.13, 0.56, 0.15), (0, 0.7, 0.2)):
        canvas.paint(
            ellipse(x + dx * size, y - dy * size, radius * size, 0.85 * radius * size), LEAVES, 0.07, shadow=0.25
        )


def house(canvas: Canvas, x: float, y: float, color: str) -> None:
    canvas.paint(box(x - 0.22, y - 0.3, x + 0.22, y), colored(color), 0.03, shadow=0.2)
    canvas.paint(
        np.array([(x - 0.27, y - 0.29), (x, y - 0.47), (x + 0.27, y - 0.29)]),
        Material((0.48, 0.20, 0.15)),
        0.02,
        shadow=0.2,
    )
    canvas.paint(box(x - 0.04, y - 0.17, x + 0.05, y), WOOD, 0.012)
    for left in (-0.17, 0.1):
        canvas.paint(box(x + left, y - 0.22, x + left + 0.08, y - 0.13), GLASS, 0.012)


def fruit(canvas: Canvas, x: float, y: float, kind: str, radius: float = 0.06) -> None:
    skin = Material(FRUIT[kind], fabric=FABRICS["leather"])
    if kind == "bananas":
        path = [(x - 1.5 * radius, y - 1.2 * radius), (x, y - 0.4 * radius), (x + 1.5 * radius, y - 1.4 * radius)]
        canvas.paint(stroke(path, (0.2 * radius, 0.5 * radius, 0.2 * radius)), skin, 0.02, shadow=0.25)
    else:
        canvas.paint(ellipse(x, y - radius, radius, radius), skin, 0.035, shadow=0.25)


def bowl(canvas: Canvas, x: float, y: float, color: str) -> None:
    canvas.paint(
        smooth([(x - 0.22, y - 0.12), (x + 0.22, y - 0.12), (x + 0.1, y), (x - 0.1, y)]),
        colored(color, glossy=True),
        0.05,
        shadow=0.35,
    )


def vase(canvas: Canvas, x: float, y: float, color: str, flowers: str) -> None:
    for dx, dy in ((-0.1, 0.4), (0.1, 0.42), (0, 0.5), (-0.045, 0.36), (0.06, 0.33)):
        canvas.paint(stroke([(x, y - 0.2), (x + dx, y - dy)], (0.008, 0.006)), LEAVES, 0.006)
        canvas.paint(ellipse(x + dx, y - dy, 0.05, 0.045, 12), colored(flowers), 0.025, shadow=0.15)
    canvas.paint(
        smooth(
            [
                (x - 0.05, y - 0.24),
                (x + 0.05, y - 0.24),
                (x + 0.09, y - 0.08),
                (x + 0.05, y),
                (x - 0.05, y),
                (x - 0.09, y - 0.08),
            ]
        ),
        colored(color, glossy=True),
        0.04,
        shadow=0.35,
    )


def sink(canvas: Canvas, x: float, y: float) -> None:
    canvas.paint(box(x - 0.06, y - 0.1, x + 0.06, y + 0.35), CHINA.tinted(0.93), 0.03, shadow=0.2)
    canvas.paint(ellipse(x, y, 0.4, 0.16), CHINA, 0.05, shadow=0.4)
    canvas.paint(ellipse(x, y - 0.02, 0.33, 0.11), CHINA.tinted(0.8), 0.06)
    canvas.paint(
        stroke([(x, y - 0.13), (x, y - 0.27), (x + 0.08, y - 0.27), (x + 0.08, y - 0.21)], (0.018,) * 4),
        Material((0.62, 0.64, 0.68), fabric=GLOSSY),
        0.014,
    )


def boat(canvas: Canvas, x: float, y: float, color: str) -> None:
    canvas.paint(box(x - 0.01, y - 0.45, x + 0.01, y - 0.05), WOOD, 0.008)
    canvas.paint(np.array([(x + 0.02, y - 0.44), (x + 0.02, y - 0.1), (x + 0.22, y - 0.1)]), PALE, 0.03)
    canvas.paint(
        smooth([(x - 0.25, y - 0.08), (x + 0.27, y - 0.08), (x + 0.17, y + 0.02), (x - 0.17, y + 0.02)], 1),
        colored(color),
        0.03,
        shadow=0.25,
    )


def umbrella(canvas: Canvas, x: float, y: float, color: str) -> None:
    canvas.paint(box(x - 0.01, y - 0.42, x + 0.01, y), PALE, 0.008)
    arc = np.linspace(np.pi, 2 * np.pi, 13)
    canvas.paint(
        np.stack([x + 0.26 * np.cos(arc), y - 0.33 + 0.2 * np.sin(arc)], axis=1), colored(color), 0.05, shadow=0.25
    )


def bed(canvas: Canvas, x: float, y: float, color: str) -> None:
    canvas.paint(rounded_box(x - 0.46, y - 0.48, x - 0.38, y, 0.02), WOOD, 0.02, shadow=0.25)
    canvas.paint(rounded_box(x - 0.42, y - 0.24, x + 0.46, y - 0.05, 0.05), colored(color), 0.05, shadow=0.35)
    canvas.paint(rounded_box(x - 0.38, y - 0.31, x - 0.15, y - 0.2, 0.05), PALE, 0.03, shadow=0.25)


def pizza(canvas: Canvas, x: float, y: float, topping: str) -> None:
    canvas.paint(ellipse(x, y, 0.42, 0.27), CHINA, 0.03, shadow=0.35)
    canvas.paint(ellipse(x, y - 0.01, 0.34, 0.21), Material((0.80, 0.55, 0.26), fabric=COTTON), 0.03, shadow=0.25)
    canvas.paint(ellipse(x, y - 0.015, 0.3, 0.175), Material((0.93, 0.75, 0.32), fabric=COTTON), 0.03)
    spot = {"tomatoes": (0.80, 0.14, 0.10), "olives": (0.13, 0.12, 0.13), "peppers": (0.22, 0.52, 0.18)}[topping]
    for angle in np.arange(7) * 0.9:
        canvas.paint(
            ellipse(x + 0.2 * np.cos(angle), y - 0.015 + 0.11 * np.sin(angle), 0.045, 0.032, 12), Material(spot), 0.02
        )
