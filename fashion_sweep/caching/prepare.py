"""Fills the cache that all trials share: latents, prompt embeddings, features of real images. In shards, resumable."""

import shutil
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fashion_sweep.caching.caches import read_caches
from fashion_sweep.caching.size import rate_key, row_bytes
from fashion_sweep.config import RunConfig, TrainingConfig
from fashion_sweep.config_files import read_run_config
from fashion_sweep.data.catalogue import Catalogue, Record, read_catalogue
from fashion_sweep.data.images import load_rgb
from fashion_sweep.data.split import evaluation_order
from fashion_sweep.data.transforms import augmented_views, centre_view, to_model_range
from fashion_sweep.draws import standard_normal
from fashion_sweep.errors import RunError
from fashion_sweep.evaluation.fid import feature_stats
from fashion_sweep.evaluation.forgetting import LossSample, denoising_losses
from fashion_sweep.files import is_whole, read_json, replacing, write_json
from fashion_sweep.models.family import Family
from fashion_sweep.paths import RunPaths, cache_rates
from fashion_sweep.space import TrialSpec

ENCODE_BATCH_SIZE = 16


@dataclass(frozen=True)
class Shard:
    """One shard to make: what a worker is sent."""

    run: Path
    kind: str
    index: int


@dataclass(frozen=True)
class Made:
    """What making a shard took."""

    kind: str
    rows: int
    seconds: float
    hardware: str
    """Of one worker."""


def write_references(run: RunPaths) -> None:
    """Statistics of the real images, so that the run folder alone can be judged again."""
    for name, cache in read_caches(run).references.items():
        if not is_whole(run.reference(name)):
            stats = feature_stats(cache.all("features").numpy())
            with replacing(run.reference(name)) as temporary:
                stats.save(temporary)


def missing_shards(run: RunPaths, specs: Sequence[TrialSpec]) -> list[Shard]:
    """What trials of `specs` still need: latents where one is to be trained, prompt embeddings where its text is
    frozen, losses of the base model where an adapter is judged."""
    adapted = [spec for spec in specs if not spec.is_base_model]
    untrained = [spec for spec in adapted if not is_whole(run.trial(spec.trial_id).adapter)]
    wanted = {
        "reference": True,
        "images": bool(untrained),
        "captions": any(not spec.trains_text_encoders for spec in untrained),
        "loss": bool(adapted),
    }
    return [
        Shard(run.root, kind, index)
        for kind, cache in read_caches(run).named().items()
        if wanted[kind.partition("-")[0]]
        for index in cache.missing()
    ]


def make_shard(shard: Shard) -> Made:
    """Makes one shard, in a worker. Models and catalogues stay loaded for the next one."""
    run, started = RunPaths(shard.run), time.monotonic()
    config, caches = read_run_config(run.config), read_caches(run)
    cache = caches.named()[shard.kind]
    rows = slice(cache.shards[shard.index].start, cache.shards[shard.index].stop)
    name = shard.kind.partition("-")[2] or "fashion"
    catalogue = _catalogue(run.catalogue(name))
    if shard.kind == "captions":
        tensors = encode_captions(shard_model(config), catalogue.distinct_captions[rows])
    elif shard.kind == "images":
        training = caches.training(config.preset.training)
        tensors = encode_images(shard_model(config), training, catalogue.records[rows])
    elif shard.kind.startswith("loss-"):
        order = evaluation_order(catalogue, config.preset.generation.seed)
        tensors = _base_losses(config, name, order[rows], rows.start, cache.rows)
    else:
        tensors = _features(config, name, catalogue.records[rows])
    cache.write(shard.index, tensors)
    return Made(shard.kind, rows.stop - rows.start, time.monotonic() - started, _hardware())


def write_rates(run: RunPaths, made: Sequence[Made]) -> None:
    """Tells `plan` how fast each part was filled: by the median shard, since a worker's first one loads the model."""
    config, caches, rates = read_run_config(run.config), read_caches(run), read_json(cache_rates(), {})
    for kind in sorted({shard.kind for shard in made}):
        shards = [shard for shard in made if shard.kind == kind]
        rate = statistics.median(shard.rows / shard.seconds for shard in shards)
        key = rate_key(config, kind, caches.views or config.preset.training.views)
        rates[key] = {"rows_per_second": rate, "where": f"{shards[0].hardware}, run {run.name}"}
    write_json(cache_rates(), rates)


def check_room(run: RunPaths, shards: Sequence[Shard]) -> None:
    """Raises:
    RunError: the disk has less room than the missing shards take.
    """
    config, caches = read_run_config(run.config), read_caches(run)
    views, named = caches.views or config.preset.training.views, caches.named()
    needed = sum(row_bytes(config, s.kind, views) * len(named[s.kind].shards[s.index]) for s in shards)
    free = shutil.disk_usage(run.root).free
    if needed > free:
        raise RunError(
            f"the cache needs {needed / 1e9:.3g} GB more, and the disk of {run.root} has {free / 1e9:.3g} GB free; "
            "make room, or keep less with --set cache.max_gb=GB"
        )


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
        augmented = augmented_views(image, size, config.seed, record.name, views)
        noise = [standard_normal(config.seed, "data/posterior", record.name, v, shape=shape) for v in views]
        pixels = to_model_range(np.stack([view.pixels for view in augmented]))
        latents.append(model.encode_images(pixels, torch.stack(noise)).half().cpu())
        original = (record.height, record.width)
        time_ids.append(torch.tensor([[*original, *view.corner, size.height, size.width] for view in augmented]))
    return {"latents": torch.stack(latents), "time_ids": torch.stack(time_ids).float()}


def _features(config: RunConfig, name: str, records: Sequence[Record]) -> dict[str, Tensor]:
    size, features = config.preset.data.of(name).evaluation, []
    for part in _parts(records):
        pixels = np.stack([centre_view(load_rgb(record.path), size).pixels for record in part])
        features.append(shard_judge(config).features(torch.from_numpy(pixels).movedim(-1, 1)))
    return {"features": torch.cat(features)}


def _base_losses(config: RunConfig, name: str, records: Sequence[Record], first: int, total: int) -> dict[str, Tensor]:
    """A row a record: `latents` float16 and `time_ids` float32 of its centre view, and the base model's `loss`."""
    model, size, seed = shard_model(config), config.preset.data.of(name).evaluation, config.preset.generation.seed
    shape = model.latent_shape(size.height, size.width)
    latents, time_ids = [], []
    for record in records:
        view = centre_view(load_rgb(record.path), size)
        noise = standard_normal(seed, "loss/posterior", record.name, shape=shape)
        latents.append(model.encode_images(to_model_range(view.pixels[None]), noise[None])[0].half().cpu())
        time_ids.append([record.height, record.width, *view.corner, size.height, size.width])
    encoded = {"latents": torch.stack(latents), "time_ids": torch.tensor(time_ids, dtype=torch.float32)}
    captions = [record.caption for record in records]
    sample = LossSample(**encoded, captions=captions, first=first, total=total, seed=seed)
    return encoded | {"loss": denoising_losses(model, sample)}


def _parts(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[i : i + ENCODE_BATCH_SIZE] for i in range(0, len(items), ENCODE_BATCH_SIZE))


@lru_cache(maxsize=2)
def _catalogue(path: Path) -> Catalogue:
    """Stays the same while a run lasts; at the study's size reading it takes as long as encoding many images."""
    return read_catalogue(path)


def _hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} CPU thread{'s' if torch.get_num_threads() > 1 else ''}"


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


@lru_cache(maxsize=1)
def _load_model(model_config: Any) -> Any:
    from fashion_sweep.models.load import load_model

    return load_model(model_config, _device())


def shard_model(config: RunConfig) -> Any:
    """The base model, which stays loaded for the next shard."""
    return _load_model(config.preset.model)


@lru_cache(maxsize=1)
def _load_judge(evaluation_config: Any) -> Any:
    from fashion_sweep.evaluation.features import Judge

    return Judge(evaluation_config, _device())


def shard_judge(config: RunConfig) -> Any:
    """The feature extractors, which stay loaded for the next shard."""
    return _load_judge(config.preset.evaluation)


def forget_models() -> None:
    """Frees what is kept for the next shard."""
    _load_model.cache_clear()
    _load_judge.cache_clear()
