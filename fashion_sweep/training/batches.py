"""What a step trains on: rows of the cache and draws, all functions of (seed, position in training)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fashion_sweep.data.cache import ShardedCache
from fashion_sweep.draws import permutation, standard_normal, uniform_integer
from fashion_sweep.models.family import Conditions, Family, TextEmbeds


@dataclass(frozen=True)
class Batch:
    """N samples: what the denoiser sees, and the noise it is to predict."""

    names: list[str]
    latents: Tensor
    """N,c,h,w float32, scaled, clean."""
    noise: Tensor
    """N,c,h,w float32."""
    timesteps: Tensor
    """N int64."""
    conditions: Conditions


class Captions(Protocol):
    """Embeddings of captions by their number."""

    def embeds(self, rows: Sequence[int]) -> TextEmbeds:
        """float32."""


@dataclass(frozen=True)
class CachedCaptions:
    cache: ShardedCache
    """`prompt_embeds` and `pooled` a row."""

    def embeds(self, rows: Sequence[int]) -> TextEmbeds:
        prompt_embeds, pooled = (
            torch.stack([self.cache.row(name, row) for row in rows]).float() for name in ("prompt_embeds", "pooled")
        )
        return TextEmbeds(prompt_embeds, pooled)


@dataclass(frozen=True)
class EncodedCaptions:
    """Encoded when they are needed, where the cache has no room for them; rounded as there."""

    model: Family
    captions: Sequence[str]

    def embeds(self, rows: Sequence[int]) -> TextEmbeds:
        with torch.autocast(self.model.device.type, enabled=False):
            text = self.model.encode_captions([self.captions[row] for row in rows])
        return TextEmbeds(text.prompt_embeds.half().float(), text.pooled.half().float())


@dataclass(frozen=True)
class TrainingSet:
    """The encoded images of a run; rows of `images` are in the order of `names`."""

    images: ShardedCache
    """`latents` views,c,h,w and `time_ids` views,6 a row."""
    captions: "Captions"
    """Of the distinct captions."""
    names: Sequence[str]
    caption_rows: Sequence[int]
    input_ids: Tensor | None
    """int64 (encoders, distinct captions, tokens), where a text encoder is trained; then `captions` is not read."""
    training_rows: Sequence[int]
    validation_rows: Sequence[int]
    views: int
    seed: int
    validation_seed: int
    """Apart from `seed`, so that trials of several seeds are validated alike."""
    num_train_timesteps: int

    def training_batch(self, step: int, batch_size: int, slots: Sequence[int]) -> Batch:
        """The samples at `slots` of the global batch of `step`; `slots` is a worker's share of range(batch_size)."""
        positions = [step * batch_size + slot for slot in slots]
        count = len(self.training_rows)
        rows = [self.training_rows[self._epoch_order(p // count)[p % count]] for p in positions]
        views = [uniform_integer(self.seed, "train/view", p, high=self.views) for p in positions]
        timesteps = [uniform_integer(self.seed, "train/timestep", p, high=self.num_train_timesteps) for p in positions]
        noise = [self._noise(self.seed, "train/noise", p, row) for p, row in zip(positions, rows, strict=True)]
        return self._batch(rows, views, timesteps, noise)

    def validation_batch(self, indices: Sequence[int]) -> Batch:
        """Held-out samples with their own fixed noise, and timesteps spread evenly over the schedule."""
        count = len(self.validation_rows)
        timesteps = [int((i + 0.5) / count * self.num_train_timesteps) for i in indices]
        rows = [self.validation_rows[i] for i in indices]
        noise = [
            self._noise(self.validation_seed, "validation/noise", i, row) for i, row in zip(indices, rows, strict=True)
        ]
        return self._batch(rows, [0] * len(rows), timesteps, noise)

    def _noise(self, seed: int, purpose: str, index: int, row: int) -> Tensor:
        return standard_normal(seed, purpose, index, shape=self.images.row("latents", row).shape[1:])

    def _epoch_order(self, epoch: int) -> np.ndarray:
        return _epoch_order(self.seed, epoch, len(self.training_rows))

    def _batch(
        self,
        rows: Sequence[int],
        views: Sequence[int],
        timesteps: Sequence[int],
        noise: Sequence[Tensor],
    ) -> Batch:
        latents = torch.stack([self.images.row("latents", r)[v] for r, v in zip(rows, views, strict=True)]).float()
        time_ids = torch.stack([self.images.row("time_ids", r)[v] for r, v in zip(rows, views, strict=True)])
        captions = [self.caption_rows[row] for row in rows]
        return Batch(
            names=[self.names[row] for row in rows],
            latents=latents,
            noise=torch.stack(list(noise)),
            timesteps=torch.tensor(timesteps),
            conditions=self._conditions(time_ids, captions),
        )

    def _conditions(self, time_ids: Tensor, captions: Sequence[int]) -> Conditions:
        if self.input_ids is not None:
            return Conditions(time_ids, input_ids=self.input_ids[:, list(captions)])
        return Conditions(time_ids, text=self.captions.embeds(captions))


@lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    return permutation(seed, "train/order", epoch, length=count)
