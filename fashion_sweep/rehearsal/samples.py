"""The images that a rehearsal works on: two of the data set, or made up where its folder is not given."""

from pathlib import Path

import numpy as np
from PIL import Image

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.sweep import EvaluationSet, Garment
from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.data.garment import keep_photos
from fashion_sweep.data.sets import PUBLISHED, open_data
from fashion_sweep.data.split import evaluation_order
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.tasks.garment.recipe import caption_of, recipe_of

SAMPLES = 2
MADE_UP = {"fashion": (750, 1101), "general": (640, 480)}
"""Width and height of theirs."""
GARMENT = Garment(photo="made-up-0.jpg", kind="sweater", attribute="pattern", name="made-up", digest="")
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


def made_up(name: EvaluationSet, folder: Path) -> Catalogue:
    """Two JPEGs of the published size with captions, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    width, height = MADE_UP[name]
    records = []
    for seed, caption in enumerate(CAPTIONS):
        path = folder / f"made-up-{seed}.jpg"
        small = np.random.default_rng(seed).integers(0, 256, (24, 16, 3), dtype=np.uint8)
        Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=92)
        records.append(Record(path.name, str(path), caption, width, height))
    return Catalogue(tuple(records), 0, ())


def made_up_garment(config: RunConfig, run: RunPaths) -> Catalogue:
    """A made-up photo of `GARMENT`, kept in the run as that of any garment."""
    first = made_up("fashion", run.made_up("fashion")).records[0]
    caption = caption_of(recipe_of(config.preset), GARMENT)
    record = Record(GARMENT.name, first.path, caption, first.width, first.height)
    return keep_photos(Catalogue((record,), 0, ()), run.photos)


def published_count(name: EvaluationSet, config: RunConfig) -> int:
    """Images of a data set whose folder is not given."""
    source = config.preset.data.of(name)
    return source.rendered_images or PUBLISHED[name]
