"""Renders the pictures that the networks are trained on, once, and keeps them as bytes at the networks' size."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fashion_sweep.tiny.making import shards
from fashion_sweep.tiny.making.architecture import LANDSCAPE, PORTRAIT
from fashion_sweep.tiny.pictures import RenderedPicture, fashion_picture, general_picture, snapshot

SEED = 20140905
"""The seed of the pictures; the data sets that a run renders have other seeds."""
SHARDS = {"general": 60, "fashion": 12, "snapshots": 36}
PAINTERS = {"general": general_picture, "fashion": fashion_picture, "snapshots": snapshot}
SHORTER_SIDE = 49
PHOTOGRAPH = re.compile(r"^A photo(graph)?(\.| of) ")
"""What says at the beginning of a caption that the picture is a photograph."""
OWN_SIZE = 0.3
"""The share of pictures that come as files of the networks' own size."""


@dataclass(frozen=True)
class Corpus:
    """Holds pictures with their captions. `pixels` N,9216 uint8: pictures of 64x48x3 where `portrait`, else of 48x64x3.
    `time_ids` N,6 int16: height and width of the file, top and left of the crop, height and width of the crop.
    `captions`: one or five each."""

    pixels: np.ndarray
    portrait: np.ndarray
    time_ids: np.ndarray
    captions: list[list[str]]

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def photographs(self) -> np.ndarray:
        """Which pictures are no cartoons, N bool: cartoons are of figures, and are not called photographs."""
        lines = [captions[-1] for captions in self.captions]
        cartoons = [(" wear" in line or "neckline" in line) and not PHOTOGRAPH.match(line) for line in lines]
        return ~np.array(cartoons)

    def images(self, indices: np.ndarray) -> torch.Tensor:
        """Returns pictures of one orientation as N,3,H,W float in [-1, 1]."""
        height, width = PORTRAIT if self.portrait[indices[0]] else LANDSCAPE
        pixels = torch.from_numpy(self.pixels[indices]).view(-1, height, width, 3)
        return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def load(work: Path, domain: str, first: int | None = None) -> Corpus:
    """Loads the first shards, or all."""
    parts = list(shards.load(work, domain, range(first or SHARDS[domain])))
    pixels, portrait, time_ids = (
        np.concatenate([part[name] for part in parts]) for name in ("pixels", "portrait", "time_ids")
    )
    return Corpus(pixels, portrait, time_ids, [lines for part in parts for lines in json.loads(str(part["captions"]))])


def join(first: Corpus, second: Corpus) -> Corpus:
    return Corpus(
        np.concatenate([first.pixels, second.pixels]),
        np.concatenate([first.portrait, second.portrait]),
        np.concatenate([first.time_ids, second.time_ids]),
        first.captions + second.captions,
    )


def render(work: Path, workers: int) -> None:
    """Writes the shards that are missing."""
    shards.render(work, SHARDS, paint, workers)


def paint(domain: str, numbers: range) -> dict[str, np.ndarray]:
    views = [view(PAINTERS[domain](SEED, number), np.random.default_rng(number)) for number in numbers]
    pixels, portrait, time_ids, captions = zip(*views, strict=True)
    return {
        "pixels": np.stack(pixels),
        "portrait": np.array(portrait),
        "time_ids": np.array(time_ids, dtype=np.int16),
        "captions": np.array(json.dumps(captions)),
    }


def view(picture: RenderedPicture, rng: np.random.Generator) -> tuple[np.ndarray, bool, Sequence[int], list[str]]:
    """Scales the shorter side to 49 and crops at random, or makes a file of the networks' own size."""
    width, height = picture.image.size
    portrait = height > width
    crop_height, crop_width = PORTRAIT if portrait else LANDSCAPE
    is_own_size = rng.random() < OWN_SIZE
    shorter = min(crop_height, crop_width) if is_own_size else SHORTER_SIDE
    scale = max(shorter / min(width, height), crop_height / height, crop_width / width)
    size = (max(crop_width, round(width * scale)), max(crop_height, round(height * scale)))
    small = picture.image.resize(size, Image.Resampling.BICUBIC)
    spare = (size[0] - crop_width, size[1] - crop_height)
    left, top = (s // 2 if is_own_size else int(rng.integers(s + 1)) for s in spare)
    pixels = np.asarray(small.crop((left, top, left + crop_width, top + crop_height))).reshape(-1)
    origin = (crop_height, crop_width, 0, 0) if is_own_size else (height, width, top, left)
    return pixels, portrait, (*origin, crop_height, crop_width), list(picture.captions)
