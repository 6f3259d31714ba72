"""Writes the embedded data sets to disk, in the layouts of DeepFashion-MultiModal and COCO 2014."""

import csv
import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from fashion_sweep.tiny import RENDERED
from fashion_sweep.tiny.pictures import RenderedPicture, fashion_picture, garment_picture, general_picture

FORMAT = 2
"""The version of the files: counts up when the same seed would give other ones, so that old ones are written anew."""
FACTS = "world.json"
GARMENTS = "garments.csv"
AGE = 1_700_000_000
"""The time of all files, in seconds since 1970: rendered again, on whichever machine, they count as the same ones."""
QUALITY = 95
CHUNK = 50
KINDS = {
    True: ("Dresses", "Tees_Tanks", "Blouses_Shirts", "Sweaters", "Skirts"),
    False: ("Denim", "Shirts_Polos", "Tees_Tanks", "Sweaters", "Pants"),
}
"""The kinds of garments of women (True) and men (False), as in the names of DeepFashion's files."""


def write_fashion(root: Path, count: int, seed: int, workers: int = 1) -> None:
    """Writes `images/*.jpg` and `captions.json` (file name -> caption), unless they are already there."""

    def fill(folder: Path) -> None:
        written = _render(_write_fashion_picture, folder / "images", count, seed, workers)
        captions = {name: picture_captions[0] for name, _, picture_captions in written}
        (folder / "captions.json").write_text(json.dumps(captions, indent=0) + "\n", encoding="utf-8")

    _write_once(root, {"format": FORMAT, "domain": "fashion", "count": count, "seed": seed}, fill)


def write_general(root: Path, count: int, seed: int, workers: int = 1) -> None:
    """Writes `train2014/*.jpg` and `annotations/captions_train2014.json`, five captions an image, unless present."""

    def fill(folder: Path) -> None:
        written = _render(_write_general_picture, folder / "train2014", count, seed, workers)
        images, annotations = [], []
        for number, (name, (width, height), captions) in enumerate(written):
            images.append({"id": number + 1, "file_name": name, "width": width, "height": height})
            for place, caption in enumerate(captions):
                annotations.append({"id": 5 * number + place + 1, "image_id": number + 1, "caption": caption})
        (folder / "annotations").mkdir()
        index = json.dumps({"images": images, "annotations": annotations})
        (folder / "annotations" / "captions_train2014.json").write_text(index + "\n", encoding="utf-8")

    _write_once(root, {"format": FORMAT, "domain": "general", "count": count, "seed": seed}, fill)


def write_garments(root: Path, count: int, seed: int) -> None:
    """Writes photographs of `count` garments, `TOPS` at most, and `garments.csv`: photo, kind, attribute, name."""

    def fill(folder: Path) -> None:
        rows = [("photo", "kind", "attribute", "name")]
        for index in range(count):
            picture = garment_picture(seed, index)
            assert picture.outfit is not None
            top = picture.outfit.top
            plain = top.pattern == "pure color"
            name = "-".join([top.color, *([] if plain else [top.pattern.replace(" ", "-")]), top.kind])
            picture.image.save(folder / f"{name}.png")
            rows.append((f"{name}.png", top.kind, "colour" if plain else "pattern", name))
        with (folder / GARMENTS).open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)

    _write_once(root, {"format": FORMAT, "domain": "garments", "count": count, "seed": seed}, fill)


WRITERS = dict(zip(RENDERED, (write_fashion, write_general), strict=True))
"""The function that renders the embedded world, by the layout in which it is written."""
Written = tuple[str, tuple[int, int], tuple[str, ...]]
"""The type of a written picture: file name, (width, height), captions."""


def _render(
    write: Callable[[Path, int, int], Written], folder: Path, count: int, seed: int, workers: int
) -> list[Written]:
    folder.mkdir(parents=True)
    task = partial(write, folder, seed)
    if workers <= 1 or count <= CHUNK:
        return [task(index) for index in range(count)]
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        return list(pool.map(task, range(count), chunksize=CHUNK))


def _write_fashion_picture(folder: Path, seed: int, index: int) -> Written:
    picture = fashion_picture(seed, index)
    assert picture.outfit is not None
    woman = picture.outfit.woman
    kind = KINDS[woman][index % len(KINDS[woman])]
    name = f"{'WOMEN' if woman else 'MEN'}-{kind}-id_{index:08d}-{1 + index % 4:02d}_{1 + index % 7}_front.jpg"
    return _save(picture, folder, name)


def _write_general_picture(folder: Path, seed: int, index: int) -> Written:
    return _save(general_picture(seed, index), folder, f"COCO_train2014_{index + 1:012d}.jpg")


def _save(picture: RenderedPicture, folder: Path, name: str) -> Written:
    picture.image.save(folder / name, quality=QUALITY, subsampling=0)
    return name, picture.image.size, picture.captions


def _write_once(root: Path, wanted: dict[str, object], fill: Callable[[Path], None]) -> None:
    """Fills a folder beside `root`, which then takes its place: a reader sees all of it or nothing."""
    if _read_facts(root) == wanted:
        return
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix=f".{root.name}.") as temporary:
        fresh = Path(temporary) / "fresh"
        fresh.mkdir()
        fill(fresh)
        for path in fresh.rglob("*"):
            os.utime(path, (AGE, AGE))
        (fresh / FACTS).write_text(json.dumps(wanted) + "\n", encoding="utf-8")
        if _read_facts(root) == wanted:
            return  # another process was here first
        shutil.rmtree(root, ignore_errors=True)
        fresh.rename(root)


def _read_facts(root: Path) -> object:
    try:
        return json.loads((root / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
