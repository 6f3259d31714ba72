"""Renders picture i of a domain, with its captions: a function of (seed, domain, i) and of nothing else."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from fashion_sweep.tiny import backgrounds, captions, scenes
from fashion_sweep.tiny.canvas import Canvas, CanvasView, Cartoon, Photograph
from fashion_sweep.tiny.figure import FLAWS, draw_figure, strike
from fashion_sweep.tiny.wardrobe import Outfit, dress_up, with_top

Size = tuple[int, int]
Background = Callable[[np.random.Generator, Size, float], np.ndarray]
"""The type of a painter of what is behind a figure: draws, size, and the height in pixels where it stands."""
PORTRAIT_FILE, SQUARE_FILE = (116, 160), (128, 150)
LANDSCAPE_FILE, NARROW_FILE = (160, 120), (140, 120)
"""The widths and heights of files; the study's filters keep the first of each pair."""
WRONG_SIDE = 0.12
"""The share of files that the study's filters drop for their shape."""
BROAD = 1.3
"""The factor by which figures are broader than people: on pictures of 48 x 64 pixels a sleeve is to be seen."""


@dataclass(frozen=True)
class RenderedPicture:
    image: Image.Image
    captions: tuple[str, ...]
    outfit: Outfit | None
    """The outfit of the figure, where there is one."""


def fashion_picture(seed: int, index: int) -> RenderedPicture:
    """Renders a photograph of one figure, and one caption with every attribute."""
    rng = _generator(seed, "fashion", index)
    size = SQUARE_FILE if rng.random() < WRONG_SIDE else PORTRAIT_FILE
    outfit = dress_up(rng)
    image = _figure(rng, size, outfit, photograph=True)
    return RenderedPicture(image, (captions.detailed(outfit, rng),), outfit)


def garment_picture(seed: int, index: int) -> RenderedPicture:
    """Renders a photograph of one figure in garment number `index`, alone in its colour and pattern together."""
    rng = _generator(seed, "garment", index)
    outfit = with_top(dress_up(rng), rng, index)
    return RenderedPicture(_figure(rng, PORTRAIT_FILE, outfit, photograph=True), (), outfit)


def general_picture(seed: int, index: int) -> RenderedPicture:
    """Renders a photograph of a scene or a cartoon of a figure, and five captions."""
    rng = _generator(seed, "general", index)
    kind = rng.random()
    if kind < 0.4:
        return _scene(rng, _scene_size(rng))
    size = PORTRAIT_FILE if kind < 0.9 else LANDSCAPE_FILE
    outfit = dress_up(rng)
    image = _figure(rng, size, outfit, photograph=False)
    lines = [captions.detailed(outfit, rng) for _ in range(3)]
    lines[2:2] = [captions.of_a_drawing(outfit, rng), captions.sentence(captions.short(outfit, rng))]
    if rng.random() < 0.5:
        lines[1] = f"{captions.drawn(rng)} {lines[1]}"
    return RenderedPicture(image, tuple(lines), outfit)


def snapshot(seed: int, index: int) -> RenderedPicture:
    """Renders a photograph of one figure somewhere, not in a catalogue's studio or street, and five captions of it.

    All of them say that it is a photograph. What says nothing of it stands for cartoons.
    """
    rng = _generator(seed, "snapshot", index)
    size = PORTRAIT_FILE if rng.random() < 0.8 else LANDSCAPE_FILE
    outfit = dress_up(rng)
    image = _figure(rng, size, outfit, photograph=True, behind=_somewhere)
    style = captions.pick(rng, ("a photo", "a photograph"))
    lines = [f"{captions.sentence(style)} {captions.detailed(outfit, rng)}" for _ in range(3)]
    lines += [captions.sentence(f"{style} of {captions.short(outfit, rng)}") for _ in range(2)]
    return RenderedPicture(image, tuple(lines), outfit)


def figure_picture(seed: int, index: int) -> tuple[RenderedPicture, bool]:
    """Renders a figure, and tells whether it is whole: three in ten lack their head or a leg or both."""
    rng = _generator(seed, "figure", index)
    photograph = bool(rng.random() < 0.6)
    size = PORTRAIT_FILE if photograph or rng.random() < 0.8 else LANDSCAPE_FILE
    flaw = list(FLAWS)[rng.integers(len(FLAWS))] if rng.random() < 0.3 else None
    outfit = dress_up(rng)
    image = _figure(rng, size, outfit, photograph, flaw)
    return RenderedPicture(image, (captions.detailed(outfit, rng),), outfit), flaw is None


def _generator(seed: int, domain: str, index: int) -> np.random.Generator:
    digest = hashlib.blake2b(f"{seed}:{domain}:{index}".encode(), digest_size=8).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


def _scene_size(rng: np.random.Generator) -> Size:
    kind = rng.random()
    if kind < WRONG_SIDE:
        return NARROW_FILE
    return PORTRAIT_FILE if kind < 2 * WRONG_SIDE else LANDSCAPE_FILE


def _figure(
    rng: np.random.Generator,
    size: Size,
    outfit: Outfit,
    photograph: bool,
    flaw: str | None = None,
    behind: Background | None = None,
) -> Image.Image:
    width, height = size
    tall = height * rng.uniform(0.83, 0.88)
    top = height * rng.uniform(0.07, 0.085)
    middle = width * (0.5 + rng.normal(0, 0.02 if width < height else 0.12))
    view = CanvasView(width, height, tall, (middle, top), stretch=BROAD)
    pose = strike(rng, outfit.woman)
    if flaw:
        pose = pose.maimed(flaw)
    if photograph:
        background = (behind or _in_a_catalogue)(rng, size, top + tall)
        side = rng.choice([-1.0, 1.0])
        backgrounds.ground_shadow(background, middle + 0.06 * side * tall, top + tall, 0.2 * tall)
        canvas: Canvas = Photograph(view, background, rng, light_from=-side)
    else:
        canvas = Cartoon(view, backgrounds.flat(rng, width, height))
    draw_figure(canvas, outfit, pose, rng)
    return canvas.picture()


def _in_a_catalogue(rng: np.random.Generator, size: Size, feet: float) -> np.ndarray:
    if rng.random() < 0.65:
        wall = list(backgrounds.WALLS)[rng.integers(len(backgrounds.WALLS))]
        return backgrounds.studio(rng, *size, wall, feet)
    return backgrounds.outdoors(rng, *size, ("street", "park")[rng.integers(2)], feet)


def _somewhere(rng: np.random.Generator, size: Size, feet: float) -> np.ndarray:
    places = ("room", "tiles", "road", "grass", "sea")
    return backgrounds.of_a_scene(rng, *size, places[rng.integers(len(places))])


def _scene(rng: np.random.Generator, size: Size) -> RenderedPicture:
    """Renders a scene; one in twelve is a clean computer rendering, without texture and grain."""
    width, height = size
    painter = list(scenes.PLACES)[rng.integers(len(scenes.PLACES))]
    rendered = rng.random() < 1 / 12
    background = backgrounds.of_a_scene(rng, width, height, scenes.PLACES[painter])
    scale = height if width >= height else 0.9 * width
    view = CanvasView(width, height, scale, (width / 2, (height - scale) * 0.6))
    canvas = (
        Photograph(view, background, rng, texture=0.0, grain=0.0) if rendered else Photograph(view, background, rng)
    )
    phrases = painter(canvas, 0.0, rng)
    style = (
        captions.pick(rng, ("a 3d render of", "cgi of", "a render of"))
        if rendered
        else captions.pick(rng, ("a photo of", "a photograph of"))
    )
    first = f"{style} {phrases[1]}" if rendered else phrases[0]
    lines = [first, phrases[1], f"{style} {phrases[0]}", phrases[2], phrases[0]]
    return RenderedPicture(canvas.picture(), tuple(captions.sentence(line) for line in lines), None)
