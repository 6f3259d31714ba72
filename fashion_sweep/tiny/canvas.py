"""Defines two canvases with one interface: `Photograph` lights what is painted, `Cartoon` draws it with dark outlines.

Places are in the unit of the scene: pixel = origin + place * scale, and across also * stretch.
"""

from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from fashion_sweep.tiny.materials import INK, Material, channels, weave_relief
from fashion_sweep.tiny.shapes import Points

OVERSAMPLE = 2
FINEST_LINED = 0.005
"""The least roundness of surfaces that a drawing outlines."""


class Canvas(Protocol):
    def paint(self, outline: Points, material: Material, roundness: float = 0.03, shadow: float = 0.0) -> None:
        """Lays a surface over what is there. `roundness`: how far from its edge it curves; `shadow`: how dark
        (0 to 1) is what it casts on the surfaces below."""

    def picture(self) -> Image.Image: ...


class CanvasView:
    """Converts places of a scene to pixels of a picture of `width` x `height`; `stretch` widens what is painted."""

    def __init__(
        self, width: int, height: int, scale: float, origin: tuple[float, float], stretch: float = 1.0
    ) -> None:
        self.width, self.height, self.scale, self.origin, self.stretch = width, height, scale, origin, stretch

    def pixels(self, outline: Points) -> Points:
        return np.asarray(outline) * (self.scale * self.stretch, self.scale) + self.origin

    def window(self, pixels: Points, margin: int) -> tuple[int, int, int, int] | None:
        """Returns left, top, right, bottom of what is in the picture; None where nothing is."""
        low, high = np.floor(pixels.min(0)).astype(int) - margin, np.ceil(pixels.max(0)).astype(int) + margin
        left, top = max(0, low[0]), max(0, low[1])
        right, bottom = min(self.width, high[0]), min(self.height, high[1])
        return (left, top, right, bottom) if right - left > 1 and bottom - top > 1 else None

    def places(self, left: int, top: int, right: int, bottom: int, step: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Returns x and y of the pixels of a window, each h,w."""
        x = (np.arange(left, right, step, dtype=np.float32) + 0.5 * step - self.origin[0]) / self.scale / self.stretch
        y = (np.arange(top, bottom, step, dtype=np.float32) + 0.5 * step - self.origin[1]) / self.scale
        return np.broadcast_to(x, (len(y), len(x))), np.broadcast_to(y[:, None], (len(y), len(x)))


def coverage(pixels: Points, window: tuple[int, int, int, int]) -> Image.Image:
    """Returns how much of each pixel of the window lies within the outline, as an image of mode L."""
    left, top, right, bottom = window
    mask = Image.new("L", ((right - left) * OVERSAMPLE, (bottom - top) * OVERSAMPLE))
    corners = (pixels - (left, top)) * OVERSAMPLE - 0.5
    ImageDraw.Draw(mask).polygon(corners.astype(np.float32).ravel().tolist(), fill=255)
    return mask.reduce(OVERSAMPLE)


class Photograph:
    """Paints with light from one side, curved surfaces, folds, woven texture, soft shadows and a sensor's grain."""

    def __init__(
        self,
        view: CanvasView,
        background: np.ndarray,  # H,W,3 in [0, 1]
        rng: np.random.Generator,
        texture: float = 1.0,
        grain: float | None = None,
        light_from: float | None = None,  # -1: from the left, 1: from the right
    ) -> None:
        self.view, self.pixels, self.rng = view, background.astype(np.float32), rng
        side = rng.choice([-1.0, 1.0]) if light_from is None else light_from
        self.light = (side * rng.uniform(0.4, 0.9), -rng.uniform(0.2, 0.6))
        self.warmth = rng.normal(0, 0.025)
        self.exposure = rng.uniform(0.92, 1.08)
        self.texture = texture
        self.grain = rng.uniform(0.004, 0.012) if grain is None else grain
        self.folds = self._folds()

    def _folds(self) -> np.ndarray:
        """Returns slanting creases: H,W around 0."""
        small = self.rng.standard_normal((self.view.height // 9 + 2, self.view.width // 6 + 2)).astype(np.float32)
        return _resized(small, self.view.width, self.view.height)

    def paint(self, outline: Points, material: Material, roundness: float = 0.03, shadow: float = 0.0) -> None:
        pixels = self.view.pixels(outline)
        reach = max(1.0, roundness * self.view.scale)
        window = self.view.window(pixels, int(reach * 2) + 2)
        if window is None:
            return
        left, top, right, bottom = window
        mask = coverage(pixels, window)
        alpha = np.asarray(mask, dtype=np.float32)[..., None] / 255
        soft = np.asarray(mask.filter(ImageFilter.BoxBlur(reach)), dtype=np.float32) / 255
        region = self.pixels[top:bottom, left:right]
        if shadow:
            offset = (round(-self.light[0] * reach), round(reach * 0.7))
            cast = np.roll(soft, offset, axis=(1, 0))
            region *= 1 - shadow * cast[..., None]
        lit = self._lit(material, soft, reach, window)
        cover = alpha * material.fabric.opacity
        region += (lit - region) * cover

    def _lit(self, material: Material, soft: np.ndarray, reach: float, window: tuple[int, int, int, int]) -> np.ndarray:
        left, top, right, bottom = window
        x, y = self.view.places(*window)
        down, across = np.gradient(soft)
        slope = (across * -self.light[0] + down * -self.light[1]) * reach * 1.6
        light = 1 - 0.45 * slope - 0.22 * (1 - np.minimum(soft * 1.15, 1))
        fabric = material.fabric
        light += self.texture * fabric.folds * 0.16 * self.folds[top:bottom, left:right]
        if material.weave:
            light += self.texture * fabric.weave * weave_relief(material.weave, x, y)
        colors = material.at(x, y) * light[..., None]
        if fabric.gloss:
            gleam = np.clip(-slope * 2.2 + 0.8 * self.folds[top:bottom, left:right] * fabric.folds - 0.35, 0, 1)
            colors += (fabric.gloss * 0.45 * gleam)[..., None]
        return colors

    def picture(self) -> Image.Image:
        tint = channels([1 + self.warmth, 1, 1 - self.warmth]) * self.exposure
        noise = self.rng.standard_normal(self.pixels.shape[:2], dtype=np.float32)[..., None] * self.grain
        values = np.clip(self.pixels * tint + noise, 0, 1) * 255 + 0.5
        return Image.fromarray(values.astype(np.uint8))


class Cartoon:
    """Paints flat colours with dark outlines."""

    def __init__(self, view: CanvasView, background: np.ndarray, line: float = 0.009) -> None:
        self.view = view
        flat = Image.fromarray((np.clip(background, 0, 1) * 255).astype(np.uint8))
        self.image = flat.resize((view.width * OVERSAMPLE, view.height * OVERSAMPLE), Image.Resampling.NEAREST)
        self.line_width = max(2, round(line * view.scale * OVERSAMPLE))

    def paint(self, outline: Points, material: Material, roundness: float = 0.03, shadow: float = 0.0) -> None:
        pixels = self.view.pixels(outline)
        window = self.view.window(pixels, 1)
        if window is None:
            return
        corners = (pixels * OVERSAMPLE).astype(np.float32).ravel().tolist()
        draw = ImageDraw.Draw(self.image)
        if material.pattern == "pure color" and not material.weave:
            draw.polygon(corners, fill=_bytes(material.color))
        else:
            self._fill(pixels, window, material)
        if roundness >= FINEST_LINED:
            draw.line([*corners, *corners[:4]], fill=_bytes(INK), width=self.line_width, joint="curve")

    def _fill(self, pixels: Points, window: tuple[int, int, int, int], material: Material) -> None:
        left, top = window[:2]
        x, y = self.view.places(*window, step=1 / OVERSAMPLE)
        colors = material.at(x, y) * (1 + marks(material.weave, x, y))[..., None]
        texture = Image.fromarray((np.clip(colors, 0, 1) * 255).astype(np.uint8))
        mask = Image.new("1", texture.size)
        corners = ((pixels - (left, top)) * OVERSAMPLE).astype(np.float32).ravel().tolist()
        ImageDraw.Draw(mask).polygon(corners, fill=1)
        self.image.paste(texture, (left * OVERSAMPLE, top * OVERSAMPLE), mask)

    def picture(self) -> Image.Image:
        return self.image.reduce(OVERSAMPLE)


def marks(weave: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns a draughtsman's signs for a fabric, as relative brightness: ribs, seams, a gleam, a veil."""
    if weave == "knitted":
        return -0.22 * (np.sin(2 * np.pi * x / 0.034) > 0.55)
    if weave == "denim":
        return 0.35 * ((np.abs(np.abs(x) - 0.05) < 0.006) | (np.sin(2 * np.pi * y / 0.16) > 0.97))
    if weave == "leather":
        return 0.9 * (np.sin(2 * np.pi * (x + 0.4 * y) / 0.13) > 0.86)
    if weave == "chiffon":
        return 0.16 * (np.sin(2 * np.pi * (x - 0.5 * y) / 0.07) > 0)
    return np.zeros_like(x)


def _resized(field: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(field).resize((width, height), Image.Resampling.BICUBIC))


def _bytes(color: tuple[float, float, float]) -> tuple[int, int, int]:
    red, green, blue = (round(255 * min(1.0, max(0.0, channel))) for channel in color)
    return red, green, blue
