"""Fills the cache that all trials share: latents, prompt embeddings, features of real images. In shards, resumable."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fashion_sweep.config import EvaluationConfig, RunConfig, TrainingConfig
from fashion_sweep.config_files import read_run_config
from fashion_sweep.data.cache import ShardedCache, content_key
from fashion_sweep.data.catalogue import Catalogue, Record, read_catalogue
from fashion_sweep.data.images import load_rgb
from fashion_sweep.data.transforms import augmented_view, centre_view, to_model_range
from fashion_sweep.draws import standard_normal
from fashion_sweep.errors import RunError
from fashion_sweep.files import read_json, write_json
from fashion_sweep.models.family import Family
from fashion_sweep.models.locate import EMBEDDED, fingerprint, locate
from fashion_sweep.paths import RunPaths, cache_root
from fashion_sweep.sweep_file import EvaluationSet

ENCODE_BATCH_SIZE = 16


@dataclass(frozen=True)
class Caches:
    """The parts of the shared cache that a run uses. Rows are in the order of the catalogue's records."""

    images: ShardedCache
    """`latents` views,c,h,w float16 and `time_ids` views,6 float32 of the fashion records."""
    captions: ShardedCache
    """`prompt_embeds` tokens,d and `pooled` p, float16, of the distinct fashion captions, sorted."""
    references: dict[str, ShardedCache]
    """`features` d float32 of the real images, by evaluation set."""
    models: tuple[str, ...]
    """Fingerprints of base, refiner and CLIP."""

    def named(self) -> dict[str, ShardedCache]:
        return {"images": self.images, "captions": self.captions} | {
            f"reference-{name}": cache for name, cache in self.references.items()
        }


@dataclass(frozen=True)
class Shard:
    """One shard to make: what a worker is sent."""

    run: Path
    kind: str
    index: int


def plan_caches(config: RunConfig, catalogues: dict[EvaluationSet, Catalogue]) -> Caches:
    """Where each part lies: folders named by what goes into them (weights, transform, data)."""
    preset, fashion = config.preset, catalogues["fashion"]
    base = fingerprint(locate(preset.model.base, "model.base"))
    precision = preset.model.dtype
    views = {"size": preset.training.image, "views": preset.training.views, "seed": preset.training.seed}
    refiner = fingerprint(locate(preset.model.refiner, "model.refiner")) if preset.model.refiner else ""
    clip = _clip_fingerprint(preset.evaluation)
    extractor = {"features": preset.evaluation.features, "clip": clip}

    def cache(kind: str, rows: int, **parts: Any) -> ShardedCache:
        return ShardedCache(cache_root() / f"{kind}-{content_key(parts)}", rows)

    captions = fashion.distinct_captions
    return Caches(
        images=cache("images", len(fashion.records), base=base, data=_identity(fashion.records), **views),
        captions=cache("captions", len(captions), base=base, precision=precision, captions=captions),
        references={
            name: cache(
                f"reference-{name}",
                len(catalogue.records),
                data=_identity(catalogue.records),
                size=_source(config, name).evaluation,
                **extractor,
            )
            for name, catalogue in catalogues.items()
            if name in config.sweep.judge
        },
        models=(base, refiner, clip),
    )


def _clip_fingerprint(evaluation: EvaluationConfig) -> str:
    if evaluation.clip_model.startswith(EMBEDDED):
        return fingerprint(locate(evaluation.clip_model, "evaluation.clip_model"))
    return f"{evaluation.clip_model}/{evaluation.clip_pretrained}"


def write_caches(run: RunPaths, caches: Caches) -> None:
    """Raises:
    RunError: the run began with other data or weights, which its finished trials rest on.
    """
    values = {name: [str(cache.root), cache.rows] for name, cache in caches.named().items()}
    values["models"] = list(caches.models)
    known = read_json(run.caches)
    changed = [name for name in values if known and known.get(name) != values[name]]
    if changed:
        what = ", ".join(changed)
        raise RunError(f"{run.root}: data or weights changed since this run began ({what}); give another --name")
    write_json(run.caches, values)


def read_caches(run: RunPaths) -> Caches:
    values = read_json(run.caches)
    models = tuple(values.pop("models"))
    caches = {name: ShardedCache(Path(root), rows) for name, (root, rows) in values.items()}
    prefix = "reference-"
    references = {name.removeprefix(prefix): c for name, c in caches.items() if name.startswith(prefix)}
    return Caches(caches["images"], caches["captions"], references, models)


def missing_shards(run: RunPaths, with_images: bool, with_captions: bool) -> list[Shard]:
    """What is still to be made; latents only where a trial trains, prompt embeddings where its text is frozen."""
    unwanted = {"images": not with_images, "captions": not with_captions}
    return [
        Shard(run.root, kind, index)
        for kind, cache in read_caches(run).named().items()
        if not unwanted.get(kind)
        for index in cache.missing()
    ]


def make_shard(shard: Shard) -> None:
    """Makes one shard, in a worker. Models stay loaded for the next one."""
    run = RunPaths(shard.run)
    config, cache = read_run_config(run.config), read_caches(run).named()[shard.kind]
    rows = slice(cache.shards[shard.index].start, cache.shards[shard.index].stop)
    fashion = read_catalogue(run.catalogue("fashion"))
    if shard.kind == "captions":
        cache.write(shard.index, encode_captions(_model(config), fashion.distinct_captions[rows]))
    elif shard.kind == "images":
        cache.write(shard.index, encode_images(_model(config), config.preset.training, fashion.records[rows]))
    else:
        name = shard.kind.removeprefix("reference-")
        records = read_catalogue(run.catalogue(name)).records[rows]
        cache.write(shard.index, _features(config, name, records))


def encode_captions(model: Family, captions: Sequence[str]) -> dict[str, Tensor]:
    """A row a caption: `prompt_embeds` and `pooled`, float16."""
    parts = [model.encode_captions(part) for part in _parts(captions)]
    return {
        "prompt_embeds": torch.cat([part.prompt_embeds for part in parts]).half(),
        "pooled": torch.cat([part.pooled for part in parts]).half(),
    }


def encode_images(model: Family, config: TrainingConfig, records: Sequence[Record]) -> dict[str, Tensor]:
    """A row a record: `latents` of its augmented views, float16, and their `time_ids`, float32."""
    size, views = config.image, range(config.views)
    shape = model.latent_shape(size.height, size.width)
    latents, time_ids = [], []
    for record in records:
        image = load_rgb(record.path)
        augmented = [augmented_view(image, size, config.seed, record.name, view) for view in views]
        noise = [standard_normal(config.seed, "data/posterior", record.name, v, shape=shape) for v in views]
        pixels = to_model_range(np.stack([view.pixels for view in augmented]))
        latents.append(model.encode_images(pixels, torch.stack(noise)).half().cpu())
        original = (record.height, record.width)
        time_ids.append(torch.tensor([[*original, *view.corner, size.height, size.width] for view in augmented]))
    return {"latents": torch.stack(latents), "time_ids": torch.stack(time_ids).float()}


def _features(config: RunConfig, name: str, records: Sequence[Record]) -> dict[str, Tensor]:
    size, features = _source(config, name).evaluation, []
    for part in _parts(records):
        pixels = np.stack([centre_view(load_rgb(record.path), size).pixels for record in part])
        features.append(_judge(config).features(torch.from_numpy(pixels).movedim(-1, 1)))
    return {"features": torch.cat(features)}


def _parts(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[i : i + ENCODE_BATCH_SIZE] for i in range(0, len(items), ENCODE_BATCH_SIZE))


def _source(config: RunConfig, name: str) -> Any:
    return getattr(config.preset.data, name)


def _identity(records: Sequence[Record]) -> list[Any]:
    """What tells a changed data set from the same one without reading every pixel."""
    stats = [record.path.stat() for record in records]
    return [(r.name, r.width, r.height, stat.st_size, stat.st_mtime_ns) for r, stat in zip(records, stats, strict=True)]


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


@lru_cache(maxsize=1)
def _load_model(model_config: Any) -> Any:
    from fashion_sweep.models.load import load_model

    return load_model(model_config, _device())


def _model(config: RunConfig) -> Any:
    return _load_model(config.preset.model)


@lru_cache(maxsize=1)
def _load_judge(evaluation_config: Any) -> Any:
    from fashion_sweep.evaluation.features import Judge

    return Judge(evaluation_config, _device())


def _judge(config: RunConfig) -> Any:
    return _load_judge(config.preset.evaluation)
