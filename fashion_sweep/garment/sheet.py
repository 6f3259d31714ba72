"""The contact sheet of a garment: its photo, then for each prompt the pictures that come closest to it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fashion_sweep.report.grid import write_grid

BEST = 3
"""Pictures shown of each prompt."""


def write_sheet(path: Path, name: str, photo: Path, folder: Path, pictures: Sequence[dict[str, Any]]) -> None:
    """Args:
    path: the PNG to write.
    name: the garment's.
    photo: its photo, a PNG.
    folder: where the pictures are.
    pictures: as `closeness.json` has them.
    """
    prompts = list(dict.fromkeys(picture["prompt"] for picture in pictures))
    rows = [ranked([picture for picture in pictures if picture["prompt"] == prompt], name) for prompt in prompts]
    shown = max(min(BEST, len(row)) for row in rows)
    cells = [[photo, *(folder / picture["file"] for picture in row[:shown])] for row in rows]
    captions = [["", *(_caption(picture, name) for picture in row[:shown])] for row in rows]
    places = ["closest", "second", "third", *(f"{n}th" for n in range(4, shown + 1))]
    write_grid(path, prompts, ["the photo", *places[:shown]], cells, captions)


def ranked(pictures: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The closest first; of equal ones the smaller seed."""
    return sorted(pictures, key=lambda picture: (-picture["closeness"][name]["score"], picture["seed"]))


def _caption(picture: dict[str, Any], name: str) -> str:
    found = picture["closeness"][name]
    return f"seed {picture['seed']}: {found['score']:.0f} (ΔE {found['colour']:.0f})"
