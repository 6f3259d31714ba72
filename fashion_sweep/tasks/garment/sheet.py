"""Writes the contact sheet of a garment: its photo, then for each prompt the pictures that come closest to it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fashion_sweep.data.images import load_rgb
from fashion_sweep.report.grid import write_grid
from fashion_sweep.tasks.garment.region import garment_region

BEST = 3
"""The number of pictures shown of each prompt."""
FADED = 0.85
"""The amount by which what is no garment is faded towards white, in [0, 1]."""
SCORE_COLUMNS = ("score", "colour_delta_e", "pattern", "clip", "region_share")
"""The columns of scores in a table of pictures."""


def write_sheet(path: Path, name: str, photo: Path, folder: Path, pictures: Sequence[dict[str, Any]]) -> None:
    """Writes the contact sheet of a garment.

    Args:
        path: the PNG to write.
        name: the garment's.
        photo: its photo, a PNG.
        folder: where the pictures are.
        pictures: as `closeness.json` has them.
    """
    _write(path, name, photo, folder, pictures, lambda picture: picture)


def write_regions(
    path: Path, name: str, kind: str, photo: Path, folder: Path, pictures: Sequence[dict[str, Any]]
) -> None:
    """Writes the contact sheet with all but the garment faded: it shows what was compared."""

    def faded(picture: Path) -> Image.Image:
        pixels = np.asarray(load_rgb(picture))
        region = garment_region(pixels, kind)[..., None]
        return Image.fromarray(np.where(region, pixels, (1 - FADED) * pixels + FADED * 255).astype(np.uint8))

    _write(path, name, photo, folder, pictures, faded)


def _write(
    path: Path,
    name: str,
    photo: Path,
    folder: Path,
    pictures: Sequence[dict[str, Any]],
    shown_as: Callable[[Path], Path | Image.Image],
) -> None:
    prompts = list(dict.fromkeys(picture["prompt"] for picture in pictures))
    rows = [ranked([picture for picture in pictures if picture["prompt"] == prompt], name) for prompt in prompts]
    shown = max(min(BEST, len(row)) for row in rows)
    first = shown_as(photo)
    cells = [[first, *(shown_as(folder / picture["file"]) for picture in row[:shown])] for row in rows]
    captions = [["", *(_caption(picture, name) for picture in row[:shown])] for row in rows]
    places = ["closest", "second", "third", *(f"{n}th" for n in range(4, shown + 1))]
    write_grid(path, prompts, ["the photo", *places[:shown]], cells, captions)


def ranked(pictures: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Returns the pictures with the closest first; of equally close ones the smaller seed."""
    return sorted(pictures, key=lambda picture: (-picture["closeness"][name]["score"], picture["seed"]))


def scores_of(picture: dict[str, Any], name: str) -> list[str]:
    """Returns a picture's scores against that garment's photo, in the order of `SCORE_COLUMNS`."""
    close = picture["closeness"][name]
    return [
        f"{value:.4f}" for value in (*(close[key] for key in ("score", "colour", "pattern", "clip")), picture["region"])
    ]


def _caption(picture: dict[str, Any], name: str) -> str:
    close = picture["closeness"][name]
    return f"seed {picture['seed']}: {close['score']:.0f} (ΔE {close['colour']:.0f})"
