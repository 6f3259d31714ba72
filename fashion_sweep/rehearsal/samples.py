"""Takes the images that a rehearsal works on: two of the data set, or made up where its folder is not given."""

from pathlib import Path

import numpy as np
from PIL import Image

from fashion_sweep.config.data_source import PublishedData
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.data.sets import open_data
from fashion_sweep.data.split import judged_records
from fashion_sweep.errors import ConfigError

SAMPLES = 2
CAPTIONS = (
    "The shirt this woman wears has long sleeves, its fabric is cotton, and it has solid color patterns.",
    "This man wears a long-sleeve shirt with color block patterns and a pair of long denim trousers.",
)


def two_of(catalogue: Catalogue, seed: int) -> Catalogue:
    """Returns the first two that judging would take; one twice where there is no second, to train and to validate."""
    chosen = judged_records(catalogue, seed, SAMPLES)
    return Catalogue(tuple(sorted(chosen, key=lambda record: record.name)), 0, ())


def opened(name: str, config: RunConfig) -> Catalogue | None:
    """Opens the data set and reads every header; None where no folder is given."""
    source = config.preset.data[name]
    return open_data(name, source) if source.root else None


def made_up(folder: Path, width: int, height: int) -> Catalogue:
    """Makes two JPEGs of this size with captions, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    records = []
    for seed, caption in enumerate(CAPTIONS):
        path = folder / f"made-up-{seed}.jpg"
        small = np.random.default_rng(seed).integers(0, 256, (24, 16, 3), dtype=np.uint8)
        Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(path, quality=92)
        records.append(Record(path.name, str(path), caption, width, height))
    return Catalogue(tuple(records), 0, ())


def published(name: str, config: RunConfig) -> PublishedData:
    """Returns count and size of the images of a data set whose folder is not given.

    Raises:
        ConfigError: the preset does not tell how large it is, nor how many are rendered.
    """
    source, size = config.preset.data[name], config.preset.picture_size(name)
    if source.published is None and source.rendered_images is None:
        raise ConfigError(f"data.{name}: neither its root nor its published size is set; give data.{name}.root")
    stated = source.published or PublishedData(images=1, width=size.width, height=size.height)
    return stated.model_copy(update={"images": source.rendered_images or stated.images})
