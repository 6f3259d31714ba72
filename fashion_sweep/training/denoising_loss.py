"""Compares an adapter's denoising loss with the base model's, image by image, on prompts it was not trained on.

Both see the same latents, noise and timesteps, so that the difference of two losses has a small error.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fashion_sweep.encodings.sharded_cache import ShardedCache
from fashion_sweep.models.memory import as_much_as_fits
from fashion_sweep.models.model import Batch, Conditioning, Model
from fashion_sweep.rng import standard_normal
from fashion_sweep.training.batches import LATENTS

LOSS = "loss"
"""The name of the base model's losses among the tensors of a cache."""
logger = logging.getLogger(__name__)
BATCH_SIZE = 16


@dataclass(frozen=True)
class LossSample:
    """A sample of n encoded images with their captions; image i is number `first + i` of `total`."""

    latents: Tensor
    """The scaled latents: n,c,h,w."""
    framing: Conditioning
    captions: Sequence[str]
    first: int
    total: int
    seed: int


@torch.no_grad()
def denoising_losses(model: Model, sample: LossSample, alive: Callable[[], None] = lambda: None) -> Tensor:
    """Computes the mean squared errors of predicted noise: n float32. Timesteps spread evenly over the schedule.

    alive: called before each batch.
    """
    count = len(sample.captions)
    parts: list[Tensor] = []

    def compute(size: int) -> None:
        parts.clear()
        for at in range(0, count, size):
            alive()
            parts.append(_losses(model, sample, slice(at, at + size)).cpu())

    as_much_as_fits(compute, BATCH_SIZE, lambda size: logger.warning("out of memory; now with %d at a time", size))
    return torch.cat(parts)


def _losses(model: Model, sample: LossSample, part: slice) -> Tensor:
    numbers = [sample.first + i for i in range(len(sample.captions))[part]]
    latents = sample.latents[part].float()
    noise = torch.stack([standard_normal(sample.seed, "loss/noise", i, shape=latents.shape[1:]) for i in numbers])
    timesteps = torch.tensor([int((i + 0.5) / sample.total * model.num_train_timesteps) for i in numbers])
    framing = {name: tensor[part] for name, tensor in sample.framing.items()}
    conditioning = framing | dict(model.encode_text(sample.captions[part]))
    return model.loss(Batch(latents, noise, timesteps, conditioning))


def losses_beside_base(
    model: Model, cache: ShardedCache, captions: Sequence[str], seed: int, alive: Callable[[], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns two losses, n float32 each, on the images in `cache`: the model's as it is now, and the base model's."""
    sample = LossSample(
        latents=cache.all(LATENTS),
        framing={name: cache.all(name) for name in cache.names if name not in (LATENTS, LOSS)},
        captions=captions,
        first=0,
        total=cache.rows,
        seed=seed,
    )
    return denoising_losses(model, sample, alive).numpy(), cache.all(LOSS).numpy()


def loss_increase(losses: np.ndarray, base_losses: np.ndarray) -> dict[str, float]:
    """Computes the mean of the adapter's n losses less the base model's on the same images, with its standard error."""
    increase = losses.astype(np.float64) - base_losses.astype(np.float64)
    return {
        "loss": float(losses.mean(dtype=np.float64)),
        "base_loss": float(base_losses.mean(dtype=np.float64)),
        "loss_increase": float(increase.mean()),
        "loss_increase_se": float(increase.std(ddof=1) / np.sqrt(len(increase))),
        "loss_samples": len(increase),
    }
