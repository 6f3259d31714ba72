"""Fills the cache that all trials share, in shards, resumably: latents, prompt embeddings, real images' features."""

import shutil
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from fashion_sweep.config.loading import read_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue, read_catalogue
from fashion_sweep.data.sets import render_if_needed, rendered_sets
from fashion_sweep.doors import imported
from fashion_sweep.encodings.caches import read_caches
from fashion_sweep.encodings.encoders import LOADERS
from fashion_sweep.encodings.parts import all_parts
from fashion_sweep.encodings.size import trials_size
from fashion_sweep.errors import RunError
from fashion_sweep.models.loaded import kept_models
from fashion_sweep.planning.space import parameters_of
from fashion_sweep.run.paths import RunPaths, cache_rates
from fashion_sweep.run.stage_inputs import fetch_for_encoding, fetch_rates
from fashion_sweep.run.status import Alive
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import is_whole, read_json, write_json
from fashion_sweep.training.settled import Settled


@dataclass(frozen=True)
class Shard:
    """One shard to make, as it is sent to a worker."""

    run: RunPaths
    kind: str
    index: int


@dataclass(frozen=True)
class Made:
    """The rows and seconds of a shard that was made."""

    kind: str
    rows: int
    seconds: float
    hardware: str
    """The hardware of one worker."""


def missing_shards(run: RunPaths, specs: Sequence[TrialSpec]) -> list[Shard]:
    """Returns the shards that trials of `specs` still need, some of which may be trained already."""
    caches = read_caches(run)
    untrained = [spec for spec in specs if not is_whole(run.trial(spec.trial_id).adapter)]
    return [
        Shard(run, kind, index)
        for kind, part in all_parts(read_run_config(run.config), caches.views).items()
        if kind in caches.parts and part.is_needed(untrained if part.FOR_TRAINING else specs)
        for index in caches.parts[kind].missing()
    ]


def make_shard(shard: Shard, alive: Alive = lambda: None, model: Any = None) -> Made:
    """Makes one shard, in a worker. Models and catalogues stay loaded for the next one.

    Args:
        shard: which one.
        alive: is called more often than a worker may stand still.
        model: what `encoders.LOADERS` returns for it; None: what this process keeps.
    """
    run = shard.run
    _fetch_inputs(run)
    config, caches = Settled.read(run).config(read_run_config(run.config)), read_caches(run)
    part = all_parts(config, caches.views)[shard.kind]
    catalogue = _catalogue(run.catalogue(part.data_set))
    model = model or LOADERS[part.MADE_BY](kept_models(), config)
    encode = imported(part.ENCODER)
    started = time.monotonic()  # what stays loaded is not part of the rate
    cache = caches.parts[shard.kind]
    rows = cache.shards[shard.index]
    cache.write(shard.index, encode(model, part, catalogue, slice(rows.start, rows.stop), alive))
    return Made(shard.kind, len(rows), time.monotonic() - started, _hardware())


def write_rates(run: RunPaths, made: Sequence[Made]) -> None:
    """Tells `plan` how fast each part was filled: by the median shard, since GPUs warm up at a worker's first one."""
    fetch_rates()
    config, caches, rates = read_run_config(run.config), read_caches(run), read_json(cache_rates(), {})
    parts = all_parts(config, caches.views)
    for kind in sorted({shard.kind for shard in made}):
        shards = [shard for shard in made if shard.kind == kind]
        rate = statistics.median(shard.rows / shard.seconds for shard in shards)
        rates[parts[kind].rate_key] = {"rows_per_second": rate, "where": f"{shards[0].hardware}, run {run.name}"}
    write_json(cache_rates(), rates)


def check_room(run: RunPaths, shards: Sequence[Shard], specs: Sequence[TrialSpec]) -> None:
    """Checks that the disk has room for the missing shards and the trials of `specs`, to be trained or judged.

    Raises:
        RunError: the disk has less room than the missing shards and those trials take.
    """
    config, caches = read_run_config(run.config), read_caches(run)
    parts = all_parts(config, caches.views)
    needed = sum(parts[s.kind].row_bytes * len(caches.parts[s.kind].shards[s.index]) for s in shards)
    by_trials = trials_size(config, [parameters_of(config, spec) for spec in specs])
    needed_by_trials = sum(by_trials.values())
    free = shutil.disk_usage(run.root).free
    if needed + needed_by_trials > free:
        raise RunError(
            f"the cache needs {needed / 1e9:.3g} GB more and the trials up to {needed_by_trials / 1e9:.3g} GB, and the "
            f"disk of {run.root} has {free / 1e9:.3g} GB free; make room, or keep less with --set cache.max_gb=GB"
        )


@lru_cache(maxsize=2)
def _fetch_inputs(run: RunPaths) -> None:
    """Fetches the inputs of encoding to a node with its own copy of the runs folder.

    Rendered data sets are rendered there, which is quicker than fetching so many small files.
    """
    if remote.current():
        fetch_for_encoding(run)
        config = read_run_config(run.config)
        for name in rendered_sets(config):
            render_if_needed(name, config.preset.data[name])


@lru_cache(maxsize=2)
def _catalogue(path: Path) -> Catalogue:
    """Reads a catalogue once, for it stays the same in a run; a large one takes as long as encoding many images."""
    return read_catalogue(path)


def _hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} CPU thread{'s' if torch.get_num_threads() > 1 else ''}"
