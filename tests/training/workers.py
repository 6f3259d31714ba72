"""Trainings of the embedded model by several processes, which find what they do here by its name."""

import logging
from pathlib import Path

import torch
from torch import distributed, multiprocessing

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue
from fashion_sweep.encodings.sharded_cache import ShardedCache
from fashion_sweep.errors import FashionSweepError
from fashion_sweep.models.sdxl.model import SDXLModel
from fashion_sweep.run.events import Observer
from fashion_sweep.run.paths import TrialPaths
from fashion_sweep.training.adapt import Adaptation

World = tuple[Catalogue, ShardedCache, ShardedCache]
SETTINGS = {"steps": 3, "batch_size": 4, "views": 2, "validation_every": 3, "learning_rate": 3e-3}


def train_with(workers: int, folder: Path, world: World, limits: dict[int, int] | None = None, **changes) -> None:
    """Trains in `workers` processes; adapter, log and reports of each land in `folder`.

    `limits`: by rank, how many samples fit into its memory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    catalogue, *caches = world
    unopened = (catalogue, *(ShardedCache(cache.root, cache.rows) for cache in caches))
    arguments = (workers, folder, unopened, limits or {}, changes)
    multiprocessing.spawn(_work, arguments, nprocs=workers)


def _work(rank: int, workers: int, folder: Path, world: World, limits: dict[int, int], changes: dict) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=workers)
    logging.basicConfig(filename=folder / f"log-{rank}.txt", level=logging.INFO)
    if rank in limits:
        limit_memory(SDXLModel, limits[rank])
    preset = load_run_config("exp2", "tiny").preset
    config = preset.training.model_copy(update=SETTINGS | changes)
    adaptation = Adaptation(TrialSpec.of({"unet": 1}), config, 0, *world, rank=rank, workers=workers)
    reports: list = []
    try:
        adaptation.run(SDXLModel.load(preset.model, "cpu"), TrialPaths(folder), reports.append, Observer())
    except FashionSweepError as error:
        (folder / f"error-{rank}.txt").write_text(str(error))
    torch.save(reports, folder / f"reports-{rank}.pt")
    distributed.destroy_process_group()


def limit_memory(kind, samples: int, error: type[Exception] = torch.OutOfMemoryError, text: str = "none") -> None:
    """Has `kind.loss` fail in training as a device does that holds only so many samples, and in all else not."""
    loss = kind.loss

    def limited(self, batch):
        if torch.is_grad_enabled() and len(batch.latents) > samples:
            raise error(text)
        return loss(self, batch)

    kind.loss = limited
