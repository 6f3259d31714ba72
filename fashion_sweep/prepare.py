"""Fills the cache that all trials share: latents, prompt embeddings, features of real images. In shards, resumable."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fashion_sweep.caches import read_caches
from fashion_sweep.config import RunConfig, TrainingConfig
from fashion_sweep.config_files import read_run_config
from fashion_sweep.data.catalogue import Record, read_catalogue
from fashion_sweep.data.images import load_rgb
from fashion_sweep.data.split import evaluation_order
from fashion_sweep.data.transforms import augmented_view, centre_view, to_model_range
from fashion_sweep.draws import standard_normal
from fashion_sweep.evaluation.fid import feature_stats
from fashion_sweep.evaluation.forgetting import LossSample, denoising_losses
from fashion_sweep.files import is_whole, replacing
from fashion_sweep.models.family import Family
from fashion_sweep.paths import RunPaths
from fashion_sweep.space import TrialSpec

ENCODE_BATCH_SIZE = 16


@dataclass(frozen=True)
class Shard:
    """One shard to make: what a worker is sent."""

    run: Path
    kind: str
    index: int


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


def make_shard(shard: Shard) -> None:
    """Makes one shard, in a worker. Models stay loaded for the next one."""
    run = RunPaths(shard.run)
    config, cache = read_run_config(run.config), read_caches(run).named()[shard.kind]
    rows = slice(cache.shards[shard.index].start, cache.shards[shard.index].stop)
    fashion = read_catalogue(run.catalogue("fashion"))
    if shard.kind == "captions":
        cache.write(shard.index, encode_captions(shard_model(config), fashion.distinct_captions[rows]))
    elif shard.kind == "images":
        cache.write(shard.index, encode_images(shard_model(config), config.preset.training, fashion.records[rows]))
    elif shard.kind.startswith("loss-"):
        name = shard.kind.removeprefix("loss-")
        order = evaluation_order(read_catalogue(run.catalogue(name)), config.preset.generation.seed)
        cache.write(shard.index, _base_losses(config, name, order[rows], rows.start, cache.rows))
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
