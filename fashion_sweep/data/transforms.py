"""Transforms a file's pixels to the model's size, with the crop's corner, for models that are conditioned on it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from fashion_sweep.config.data_source import Size
from fashion_sweep.rng import numpy_generator


@dataclass(frozen=True)
class View:
    """A cropped image: uint8 RGB of shape (height, width, 3), and its (top, left) corner in the resized image."""

    pixels: np.ndarray
    corner: tuple[int, int]


def resized_size(width: int, height: int, size: Size) -> tuple[int, int]:
    """Returns (width, height) after the resize: shorter side as asked, larger only where the crop would not fit."""
    scale = max(
        size.shorter_side / min(width, height),
        size.width / width,
        size.height / height,
    )
    return max(size.width, round(width * scale)), max(size.height, round(height * scale))


def centre_view(image: Image.Image, size: Size) -> View:
    """Makes the evaluation transform: resize, centre crop."""
    resized = image.resize(resized_size(*image.size, size), Image.Resampling.LANCZOS)
    left, top = (resized.width - size.width) // 2, (resized.height - size.height) // 2
    return _crop(resized, top, left, size)


def augmented_view(image: Image.Image, size: Size, seed: int, name: str, view: int) -> View:
    """Makes the training transform: resize, horizontal flip with probability ½, random crop.
    It is a function of its arguments."""
    return augmented_views(image, size, seed, name, [view])[0]


def augmented_views(image: Image.Image, size: Size, seed: int, name: str, views: Iterable[int]) -> list[View]:
    """Makes several training transforms of one image, which is resized once."""
    resized = image.resize(resized_size(*image.size, size), Image.Resampling.LANCZOS)
    return [_augmented(resized, size, numpy_generator(seed, "data/view", name, view)) for view in views]


def _augmented(resized: Image.Image, size: Size, draw: np.random.Generator) -> View:
    if draw.integers(2):
        resized = resized.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    top = int(draw.integers(resized.height - size.height + 1))
    left = int(draw.integers(resized.width - size.width + 1))
    return _crop(resized, top, left, size)


def to_model_range(pixels: np.ndarray) -> torch.Tensor:
    """Maps uint8 (…,h,w,3) in [0, 255] to float32 (…,3,h,w) in [-1, 1]."""
    return torch.from_numpy(pixels).movedim(-1, -3).float() / 127.5 - 1


def _crop(image: Image.Image, top: int, left: int, size: Size) -> View:
    cropped = image.crop((left, top, left + size.width, top + size.height))
    return View(np.array(cropped), (top, left))
