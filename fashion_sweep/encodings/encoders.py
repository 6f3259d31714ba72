"""Functions that fill each part of the shared cache, and what they fill it with."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fashion_sweep.config.preset import RunConfig, Size
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.data.images import load_rgb
from fashion_sweep.data.transforms import augmented_views, centre_view, to_model_range
from fashion_sweep.encodings.parts import Captions, Images, Loss
from fashion_sweep.encodings.reference_part import Reference
from fashion_sweep.metrics.judge import Judge
from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.models.loaded import Loaded
from fashion_sweep.models.model import Conditioning, Framing, Model
from fashion_sweep.models.registry import default_device
from fashion_sweep.rng import standard_normal
from fashion_sweep.run.status import Alive
from fashion_sweep.training.batches import LATENTS
from fashion_sweep.training.denoising_loss import LOSS, LossSample, denoising_losses

ENCODE_BATCH_SIZE = 16


def encode_captions(model: Model, captions: Sequence[str], alive: Alive = lambda: None) -> dict[str, Tensor]:
    """Encodes each caption into a row, as the denoiser takes it: fractions as float16."""
    parts = [model.encode_text(part) for part in _batches(captions, alive)]
    encoded = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in encoded.items()}


def encode_images(
    model: Model, config: TrainingConfig, records: Sequence[Record], alive: Alive = lambda: None
) -> dict[str, Tensor]:
    """Encodes each record into a row: `latents` of its views, float16, and the conditioning of their framing."""
    size, views = config.image, range(config.views)
    shape = model.latent_shape(size.height, size.width)
    latents, framing = [], []
    for record in records:
        alive()
        image = load_rgb(record.path)
        augmented = augmented_views(image, size, config.seed, record.name, views)
        noise = [standard_normal(config.seed, "data/posterior", record.name, v, shape=shape) for v in views]
        pixels = to_model_range(np.stack([view.pixels for view in augmented]))
        latents.append(model.encode_images(pixels, torch.stack(noise)).half().cpu())
        framing.append(model.encode_framing([_framing(record, view.corner, size) for view in augmented]))
    return {LATENTS: torch.stack(latents)} | _stacked(framing)


def _framing(record: Record, corner: tuple[int, int], size: Size) -> Framing:
    return Framing((record.height, record.width), corner, (size.height, size.width))


def _stacked(rows: Sequence[Conditioning]) -> dict[str, Tensor]:
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def captions(model: Model, part: Captions, catalogue: Catalogue, rows: slice, alive: Alive) -> dict[str, Tensor]:
    return encode_captions(model, catalogue.distinct_captions[rows], alive)


def images(model: Model, part: Images, catalogue: Catalogue, rows: slice, alive: Alive) -> dict[str, Tensor]:
    training = part.config.preset.training.model_copy(update={"views": part.views})
    return encode_images(model, training, catalogue.records[rows], alive)


def features(judge: Any, part: Reference, catalogue: Catalogue, rows: slice, alive: Alive) -> dict[str, Tensor]:
    by_batch = []
    for records in _batches(catalogue.records[rows], alive):
        pixels = np.stack([centre_view(load_rgb(record.path), part.size).pixels for record in records])
        by_batch.append(judge.features(torch.from_numpy(pixels).movedim(-1, 1), part.extractor))
    return {"features": torch.cat(by_batch)}


def base_losses(model: Model, part: Loss, catalogue: Catalogue, rows: slice, alive: Alive) -> dict[str, Tensor]:
    size, seed, judged = part.size, part.config.preset.generation.seed, part.records(catalogue)
    shape = model.latent_shape(size.height, size.width)
    latents, framings = [], []
    for record in judged[rows]:
        alive()
        view = centre_view(load_rgb(record.path), size)
        noise = standard_normal(seed, "loss/posterior", record.name, shape=shape)
        latents.append(model.encode_images(to_model_range(view.pixels[None]), noise[None])[0].half().cpu())
        framings.append(_framing(record, view.corner, size))
    stacked, framing = torch.stack(latents), dict(model.encode_framing(framings))
    captions = [record.caption for record in judged[rows]]
    sample = LossSample(stacked, framing, captions, first=rows.start, total=len(judged), seed=seed)
    return {LATENTS: stacked} | framing | {LOSS: denoising_losses(model, sample, alive)}


def _batches(items: Sequence[Any], alive: Alive) -> Iterable[Sequence[Any]]:
    for start in range(0, len(items), ENCODE_BATCH_SIZE):
        alive()
        yield items[start : start + ENCODE_BATCH_SIZE]


def _model(loaded: Loaded, config: RunConfig) -> Model:
    return loaded.model(config.preset.drawing_model(), default_device())


def _pipelines(loaded: Loaded, config: RunConfig) -> Model:
    return loaded.model(config.preset.drawing_model(), default_device(), for_pictures=True)


def _judge(loaded: Loaded, config: RunConfig) -> Judge:
    comparing = [metric for metric in metrics_of(config.sweep.metrics) if metric.compares_features]
    return loaded.judge(config.preset.evaluation, comparing, default_device())


LOADERS: Mapping[str, Callable[[Loaded, RunConfig], Any]] = {"model": _model, "pipelines": _pipelines, "judge": _judge}
"""The functions that get what fills a part of the cache: the model, the model that draws, the feature extractors."""
