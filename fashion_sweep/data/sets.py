"""The data sets by name: where each lies, and who reads or renders it."""

import os
from pathlib import Path

from fashion_sweep.config.data_source import DataSource
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.data import locations
from fashion_sweep.data.catalogue import Catalogue, load_catalogue
from fashion_sweep.doors import LAYOUTS
from fashion_sweep.errors import ConfigError
from fashion_sweep.run.paths import cache_root, data_index
from fashion_sweep.run.stage_inputs import fetch_index
from fashion_sweep.tiny import RENDERED

WORLD_SEED = 0


def locate_data(name: str, source: DataSource) -> tuple[str, bool]:
    """Returns the root folder or URL of a data set, and whether it has to be rendered first.

    Raises:
        ConfigError: neither a folder nor a number of images to render is given.
    """
    if source.root is not None:
        return locations.absolute(source.root), False
    if source.rendered_images is None or source.layout not in RENDERED:
        raise ConfigError(f"data.{name}.root is not set; give its folder or URL with --set data.{name}.root=FOLDER")
    return str(cache_root() / f"world-{source.same_as or name}-{source.rendered_images}-seed{WORLD_SEED}"), True


def open_data(name: str, source: DataSource) -> Catalogue:
    """Renders the embedded world's data set where that is asked for, then opens what is not indexed yet."""
    root = render_if_needed(name, source)
    fetch_index(name, root)
    return load_catalogue(LAYOUTS[source.layout], root, source, data_index(name, root))


def render_if_needed(name: str, source: DataSource) -> str:
    """Returns where the data lies; the embedded world's is there after this.

    Raises:
        ConfigError: as `locate_data`.
    """
    root, rendered = locate_data(name, source)
    if rendered:
        from fashion_sweep.tiny import world

        assert source.rendered_images is not None
        world.WRITERS[source.layout](
            Path(root), source.rendered_images, WORLD_SEED, workers=len(os.sched_getaffinity(0))
        )
    return root


def rendered_sets(config: RunConfig) -> list[str]:
    """Returns the names of the run's data sets that are made here, of the embedded world."""
    sources = {name: config.preset.data[name] for name in config.data_sets}
    return [name for name, source in sources.items() if source.is_rendered]
