"""The data sets by name: where each lies, and who reads or renders it."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from fashion_sweep.config import DataSource
from fashion_sweep.data import coco, fashion
from fashion_sweep.data.catalogue import Catalogue, Listing, load_catalogue
from fashion_sweep.errors import ConfigError
from fashion_sweep.paths import cache_root
from fashion_sweep.sweep_file import EvaluationSet

READERS: Mapping[str, Callable[[Path], Listing]] = {"fashion": fashion.read, "general": coco.read}
WORLD_SEED = 0


def locate_data(name: EvaluationSet, source: DataSource) -> tuple[Path, bool]:
    """(root folder, whether it has to be rendered first).

    Raises:
        ConfigError: neither a folder nor a number of images to render is given.
    """
    if source.root is not None:
        return source.root.expanduser().resolve(), False
    if source.rendered_images is None:
        raise ConfigError(f"data.{name}.root is not set; give its folder with --set data.{name}.root=FOLDER")
    return cache_root() / f"world-{name}-{source.rendered_images}-seed{WORLD_SEED}", True


def open_data(name: EvaluationSet, source: DataSource) -> Catalogue:
    """Renders the embedded world's data set where that is asked for, then opens every header."""
    root, rendered = locate_data(name, source)
    if rendered:
        from fashion_sweep.tiny import world

        assert source.rendered_images is not None
        write = {"fashion": world.write_fashion, "general": world.write_general}[name]
        write(root, source.rendered_images, WORLD_SEED, workers=len(os.sched_getaffinity(0)))
    return load_catalogue(READERS[name], root, source)
