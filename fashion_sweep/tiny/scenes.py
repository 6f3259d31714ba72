"""Paints scenes of things: each painter draws on a canvas and returns short descriptions of what it drew."""

from collections.abc import Callable

import numpy as np

from fashion_sweep.tiny import things
from fashion_sweep.tiny.canvas import Canvas

Rng = np.random.Generator
Painter = Callable[[Canvas, float, Rng], list[str]]
"""The type of a painter: canvas, middle of the scene, draws -> descriptions that begin with a small letter."""
NUMBERS = ("no", "one", "two", "three")
FURNITURE = ("red", "green", "blue", "brown", "beige", "gray", "white", "teal")
PAINTS = ("red", "yellow", "green", "blue", "white", "black", "orange")


def living_room(canvas: Canvas, x: float, rng: Rng) -> list[str]:
    color, windows = _pick(rng, FURNITURE), int(rng.integers(1, 3))
    for side in (-0.3, 0.3)[:windows] if windows == 2 else (rng.uniform(-0.35, 0.35),):
        things.window(canvas, x + side, 0.47, 0.3, 0.36)
    things.couch(canvas, x + rng.uniform(-0.12, 0.12), 0.8, rng.uniform(0.75, 0.95), color)
    extra = int(rng.integers(3))
    if extra == 0:
        things.lamp(canvas, x + _side(rng) * 0.56, 0.82)
    if extra == 1:
        things.cat(canvas, x + rng.uniform(-0.15, 0.1), 0.68, "black")
    things.table(canvas, x + rng.uniform(-0.15, 0.15), 0.96, rng.uniform(0.42, 0.55), 0.16)
    panes = "a window" if windows == 1 else "two windows"
    more = ("a lamp", "a cat on the couch", "a wooden table")[extra]
    return [
        f"a living room with a couch, coffee table and {panes}",
        f"a living room with a {color} couch and {more}",
        f"a {color} couch behind a coffee table in a room with {panes}",
    ]


def bathroom(canvas: Canvas, x: float, rng: Rng) -> list[str]:
    basin = x + rng.uniform(-0.12, 0.12)
    things.window(canvas, basin + rng.uniform(-0.1, 0.1), 0.4, 0.36, 0.33)
    things.sink(canvas, basin, 0.66)
    if rng.random() < 0.3:
        return [
            "a bathroom with a white sink and a mirror",
            "a white bathroom sink below a mirror",
            "a clean sink in a bathroom",
        ]
    color = _pick(rng, tuple(things.CATS))
    things.cat(canvas, basin - 0.04, 0.71, color)
    return [
        f"a {color} cat lays in a bathroom sink",
        f"a {color} cat lying in a white sink",
        f"a cat is in the sink of a bathroom, its fur is {color}",
    ]


def street(canvas: Canvas, x: float, rng: Rng) -> list[str]:
    color, wall = _pick(rng, PAINTS), _pick(rng, ("white", "yellow", "beige", "pink", "blue"))
    things.house(canvas, x + _side(rng) * rng.uniform(0.2, 0.42), 0.62, wall)
    if rng.random() < 0.6:
        things.tree(canvas, x + rng.uniform(-0.5, 0.5), 0.66, rng.uniform(0.55, 0.8))
    if rng.random() < 0.35:
        things.bus(canvas, x + rng.uniform(-0.12, 0.12), 0.92, color)
        return [
            f"a {color} bus on a street near a house",
            f"a {color} bus drives past a {wall} house",
            f"a big {color} bus on the road",
        ]
    things.car(canvas, x + rng.uniform(-0.2, 0.2), 0.9, color)
    return [
        f"a {color} car parked on a street",
        f"a {color} car in front of a {wall} house",
        f"a car on the road by a house, the car is {color}",
    ]


def park(canvas: Canvas, x: float, rng: Rng) -> list[str]:
    count, color = int(rng.integers(1, 4)), _pick(rng, tuple(things.DOGS))
    for place in np.linspace(-0.45, 0.45, count + 2)[1:-1] + rng.uniform(-0.08, 0.08):
        things.tree(canvas, x + place, rng.uniform(0.62, 0.72), rng.uniform(0.65, 0.85))
    trees = "a tree" if count == 1 else f"{NUMBERS[count]} trees"
    if rng.random() < 0.7:
        things.dog(canvas, x + rng.uniform(-0.2, 0.2), 0.92, color)
        return [
            f"a {color} dog standing in the grass near {trees}",
            f"a {color} dog in a park with {trees}",
            f"a dog with {color} fur on a green field",
        ]
    return [f"{trees} in a green field", f"a park with {trees} and grass", f"{trees} under a blue sky"]


def fruit_bowl(canvas: Canvas, x: float, rng: Rng) -> list[str]:
    kind, color = _pick(rng, tuple(things.FRUIT)), _pick(rng, FURNITURE)
    for dx, dy in ((-0.1, 0.66), (0.1, 0.66), (0.0, 0.61), (-0.02, 0.68)):
        things.fruit(canvas, x + dx, dy + 0.02, kind, 0.075)
    things.bowl(canvas, x, 0.8, color)
    if rng.random() < 0.5:
        things.fruit(canvas, x + _side(rng) * 0.38, 0.84, kind, 0.07)
    return [
        f"a bowl of {kind} on a wooden table",
        f"a {color} bowl filled with {kind}",
        f"{kind} in a {color} bowl on a table",
    ]


def flowers(canvas: Canvas, x: float, rng: Rng) -> list[str]:
    color, bloom = (
        _pick(rng, ("blue", "white", "green", "gray", "teal")),
        _pick(rng, ("red", "yellow", "pink", "purple", "orange")),
    )
    place = x + rng.uniform(-0.15, 0.15)
    things.picture_frame(canvas, x + _side(rng) * 0.4, 0.42, _pick(rng, FURNITURE))
    things.vase(canvas, place, 0.83, color, bloom)
    return [
        f"a vase of {bloom} flowers on a table",
        f"{bloom} flowers in a {color} vase",
        f"a {color} vase with {bloom} flowers and a picture on the wall",
    ]


def sea(canvas: Canvas, x: float, rng: Rng) -> list[str]:
    color = _pick(rng, PAINTS)
    if rng.random() < 0.5:
        things.boat(canvas, x + rng.uniform(-0.25, 0.25), 0.66, color)
        return [
            f"a {color} boat with a white sail on the sea",
            f"a {color} sail boat on blue water",
            f"a boat sails on the water, it is {color}",
        ]
    things.umbrella(canvas, x + rng.uniform(-0.3, 0.3), 0.9, color)
    return [
        f"a {color} umbrella on a sandy beach",
        f"a beach with a {color} umbrella by the sea",
        f"a {color} umbrella stands in the sand",
    ]


def bedroom(canvas: Canvas, x: float, rng: Rng) -> list[str]:
    color = _pick(rng, FURNITURE)
    things.window(canvas, x + rng.uniform(-0.2, 0.3), 0.45, 0.3, 0.34)
    things.bed(canvas, x + rng.uniform(-0.1, 0.1), 0.88, color)
    if rng.random() < 0.5:
        fur = _pick(rng, tuple(things.CATS))
        things.cat(canvas, x + 0.12, 0.69, fur)
        return [
            f"a {fur} cat lays on a bed",
            f"a {fur} cat on a {color} bed in a bedroom",
            f"a cat with {fur} fur lying on a {color} bed",
        ]
    return [
        f"a bedroom with a {color} bed and a window",
        f"a {color} bed with a white pillow",
        f"a bed in a bedroom, the blanket is {color}",
    ]


def meal(canvas: Canvas, x: float, rng: Rng) -> list[str]:
    topping = _pick(rng, ("tomatoes", "olives", "peppers"))
    things.pizza(canvas, x + rng.uniform(-0.1, 0.1), 0.6 + rng.uniform(-0.05, 0.05), topping)
    return [
        f"a pizza with {topping} on a plate",
        f"a plate of pizza topped with {topping}",
        f"a pizza on a white plate on a table, with {topping}",
    ]


PLACES: dict[Painter, str] = {
    living_room: "room",
    bathroom: "tiles",
    street: "road",
    park: "grass",
    fruit_bowl: "table",
    flowers: "table",
    sea: "sea",
    bedroom: "room",
    meal: "board",
}
"""The background that each painter needs."""


def _side(rng: Rng) -> int:
    return 1 if rng.random() < 0.5 else -1


def _pick(rng: Rng, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]
