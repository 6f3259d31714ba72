"""Real images as metrics compare with them: their features, and the statistics of these, made once per run."""

import numpy as np
from safetensors.numpy import load_file

from fashion_sweep.config.loading import read_run_config
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.data.catalogue import Catalogue, read_catalogue
from fashion_sweep.data.split import evaluation_order
from fashion_sweep.encodings.caches import Caches, read_caches
from fashion_sweep.metrics.evaluate import compared_extractors, real_statistics
from fashion_sweep.metrics.extractors import kept_as
from fashion_sweep.metrics.metric import RealImages, metrics_of
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.stage_inputs import fetch_caches
from fashion_sweep.storage.files import is_whole, write_tensors


def write_real_statistics(run: RunPaths) -> None:
    """Writes what the metrics need of the real images beside their features, where it is missing."""
    config, caches = read_run_config(run.config), read_caches(run)
    missing = [name for name in config.sweep.judge if not is_whole(run.reference(name))]
    if missing:
        fetch_caches(caches.folders(config, for_training=False))
    for name in missing:
        features = _features(config, name, read_catalogue(run.catalogue(name)), caches)
        metrics = metrics_of(config.sweep.metrics_on(name))
        write_tensors(run.reference(name), real_statistics(metrics, features, config.preset.evaluation))


def read_real_images(run: RunPaths, config: RunConfig, name: str, catalogue: Catalogue, caches: Caches) -> RealImages:
    """Reads the features and statistics of the real images of an evaluation set."""
    return RealImages(_features(config, name, catalogue, caches), load_file(run.reference(name)))


def _features(config: RunConfig, name: str, catalogue: Catalogue, caches: Caches) -> dict[str, np.ndarray]:
    """Returns features by the names under which they are kept; rows are in the order of judging."""
    row = {record.name: index for index, record in enumerate(catalogue.records)}
    order = [row[record.name] for record in evaluation_order(catalogue, config.preset.generation.seed)]
    extractors = compared_extractors(metrics_of(config.sweep.metrics_on(name)))
    kept = dict.fromkeys(kept_as(one, config.preset.evaluation) for one in extractors)
    return {one: caches.reference(name, one).all("features").numpy()[order] for one in kept}
