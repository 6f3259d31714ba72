"""The folders of the shared cache that a run uses, named by their inputs: weights, transform, data."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.data.catalogue import Catalogue
from fashion_sweep.encodings.parts import Captions, Images, Loss, all_parts
from fashion_sweep.encodings.reference_part import reference_kind
from fashion_sweep.encodings.sharded_cache import ShardedCache, content_key
from fashion_sweep.encodings.size import Counts, cache_size
from fashion_sweep.errors import RunError
from fashion_sweep.metrics.extractors import FEATURES
from fashion_sweep.models.registry import architecture_of
from fashion_sweep.planning.plan import specs_of
from fashion_sweep.run.paths import RunPaths, by_name, by_path, cache_root
from fashion_sweep.storage.files import read_json, write_json


@dataclass(frozen=True)
class Caches:
    """The parts of the shared cache that a run uses, as `parts.py` describes them, by kind."""

    parts: Mapping[str, ShardedCache]
    models: tuple[str, ...]
    """The fingerprints of the base model, the base itself first."""
    views: int
    """The number of views that are kept of each image trained on."""

    @property
    def images(self) -> ShardedCache:
        return self.parts[Images.KIND]

    @property
    def captions(self) -> ShardedCache | None:
        """The cache of captions; None where `cache.max_gb` leaves no room for them."""
        return self.parts.get(Captions.KIND)

    def folders(self, config: RunConfig, for_training: bool) -> list[Path]:
        """Returns the folders of the parts that training reads, or those that judging reads."""
        by_kind = all_parts(config, self.views)
        return [cache.root for kind, cache in self.parts.items() if for_training == by_kind[kind].FOR_TRAINING]

    def reference(self, name: str, kept_as: str = FEATURES) -> ShardedCache:
        """Returns the cache of the features of a set's real images, by the name under which they are kept."""
        return self.parts[reference_kind(name, kept_as)]

    def loss(self, name: str) -> ShardedCache | None:
        """Returns the cache of the base model's loss on a set; None for the set that is trained on."""
        return self.parts.get(Loss.KIND.format(name))

    def training(self, config: TrainingConfig) -> TrainingConfig:
        """Returns the configuration with as many views as the cache has."""
        return config.model_copy(update={"views": self.views})


def plan_caches(config: RunConfig, catalogues: dict[str, Catalogue]) -> Caches:
    """Plans the folder of each part, named by its inputs: weights, transform, data."""
    images: dict[str, int] = {name: len(catalogue.records) for name, catalogue in catalogues.items()}
    captions = len(catalogues[config.preset.training_set].distinct_captions)
    size = cache_size(config, specs_of(config), Counts(images, captions, "the data"))
    model, parts = config.preset.model, {}
    fingerprints = architecture_of(model).fingerprints(model)
    for kind, part in all_parts(config, size.views).items():
        if kind != Captions.KIND or not size.without_captions:
            key = content_key(part.key(catalogues[part.data_set], fingerprints))
            rows = part.rows(images[part.data_set], captions)
            parts[kind] = ShardedCache(cache_root() / f"{kind}-{key}", rows)
    return Caches(parts, tuple(fingerprints.all.values()), size.views)


def write_caches(run: RunPaths, caches: Caches) -> None:
    """Writes the caches that a run uses, and checks that they are those that it began with.

    Raises:
        RunError: the run began with other data or weights, which its finished trials rest on.
    """
    values: dict[str, Any] = {kind: [by_name(cache.root), cache.rows] for kind, cache in caches.parts.items()}
    values |= {"models": list(caches.models), "views": caches.views}
    earlier = read_json(run.caches)
    for kind in caches.parts.keys() & (earlier or {}):
        earlier[kind][0] = by_name(by_path(earlier[kind][0]))
    changed = [name for name in values if earlier and earlier.get(name) != values[name]]
    if changed:
        names = ", ".join(changed)
        raise RunError(f"{run.root}: data or weights changed since this run began ({names}); give the run another name")
    write_json(run.caches, values)


def read_caches(run: RunPaths) -> Caches:
    values = read_json(run.caches)
    models, views = tuple(values.pop("models")), values.pop("views")
    return Caches({kind: ShardedCache(by_path(name), rows) for kind, (name, rows) in values.items()}, models, views)
