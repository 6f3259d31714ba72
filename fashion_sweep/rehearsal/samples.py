"""The two images that a rehearsal works on: two of the data set, or two made up where its folder is not given."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from fashion_sweep.config import RunConfig
from fashion_sweep.data.catalogue import Catalogue, load_catalogue
from fashion_sweep.data.sets import LAYOUTS, PUBLISHED, open_data
from fashion_sweep.data.split import evaluation_order
from fashion_sweep.files import write_text
from fashion_sweep.sweep_file import EvaluationSet

SAMPLES = 2
MADE_UP = {"fashion": (750, 1101), "general": (640, 480)}
"""Width and height of theirs."""
CAPTIONS = (
    "The shirt this woman wears has long sleeves, its fabric is cotton, and it has solid color patterns.",
    "This man wears a long-sleeve shirt with color block patterns and a pair of long denim trousers.",
)


def two_of(catalogue: Catalogue, seed: int) -> Catalogue:
    """The first two that judging would take; the same one twice where there is no second, to train and to validate."""
    chosen = (evaluation_order(catalogue, seed) * SAMPLES)[:SAMPLES]
    return Catalogue(tuple(sorted(chosen, key=lambda record: record.name)), 0, ())


def opened(name: EvaluationSet, config: RunConfig) -> Catalogue | None:
    """The data set, every header read; None where no folder is given."""
    source = config.preset.data.of(name)
    return open_data(name, source) if source.root else None


def made_up(name: EvaluationSet, folder: Path, config: RunConfig) -> Catalogue:
    """Two JPEGs of the published size with captions, written to `folder` in the layout of the data set."""
    images = folder / LAYOUTS[name].folder
    images.mkdir(parents=True, exist_ok=True)
    width, height = MADE_UP[name]
    names = [f"made-up-{number}.jpg" for number in range(SAMPLES)]
    for seed, file in enumerate(names):
        small = np.random.default_rng(seed).integers(0, 256, (24, 16, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
        picture.save(images / file, quality=92)
    if name == "fashion":
        (folder / LAYOUTS[name].captions_file).write_text(json.dumps(dict(zip(names, CAPTIONS, strict=True))))
    else:
        index = {
            "images": [{"id": i, "file_name": n, "width": width, "height": height} for i, n in enumerate(names)],
            "annotations": [{"id": i, "image_id": i, "caption": c} for i, c in enumerate(CAPTIONS)],
        }
        write_text(folder / LAYOUTS[name].captions_file, json.dumps(index))
    return load_catalogue(LAYOUTS[name], folder, config.preset.data.of(name))


def published_count(name: EvaluationSet, config: RunConfig) -> int:
    """Images of a data set whose folder is not given."""
    source = config.preset.data.of(name)
    return source.rendered_images or PUBLISHED[name]
