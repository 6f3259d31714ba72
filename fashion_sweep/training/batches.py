"""What a step trains on: rows of the cache and draws, all functions of (seed, position in training)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fashion_sweep.encodings.sharded_cache import ShardedCache
from fashion_sweep.models.model import Conditions, Family, TextEmbeds
from fashion_sweep.rng import permutation, standard_normal, uniform_integer


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
    weights: Tensor
    """N float32: of each sample's loss. 1, but with a prior: then their sum is that of both means."""


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
class PriorPictures:
    """Encoded pictures of the base model, of which every second sample of a batch is one."""

    images: ShardedCache
    """`latents` c,h,w, `time_ids` 6, `prompt_embeds` and `pooled` a row."""
    rows: Sequence[int]
    """Those to train on."""
    caption: str
    weight: float
    """Of their loss beside that of the others."""

    def conditions(self, rows: Sequence[int], input_ids: Tensor | None) -> Conditions:
        """input_ids: int64 (encoders, 1, tokens), where a text encoder is trained."""
        time_ids = torch.stack([self.images.row("time_ids", row) for row in rows])
        if input_ids is not None:
            return Conditions(time_ids, input_ids=input_ids.expand(-1, len(rows), -1))
        return Conditions(time_ids, text=CachedCaptions(self.images).embeds(rows))


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
    prior: PriorPictures | None = None
    prior_input_ids: Tensor | None = None
    """int64 (encoders, 1, tokens), as `input_ids`."""

    def training_batch(self, step: int, batch_size: int, slots: Sequence[int]) -> Batch:
        """The samples at `slots` of the global batch of `step`; `slots` is a worker's share of range(batch_size)."""
        if self.prior is None:
            return self._own_batch([step * batch_size + slot for slot in slots])
        half = batch_size // 2  # even slots: of the images; odd ones: of the base model
        own = [step * half + slot // 2 for slot in slots if slot % 2 == 0]
        drawn = [step * half + slot // 2 for slot in slots if slot % 2]
        parts = [*([self._own_batch(own)] if own else []), *([self._prior_batch(self.prior, drawn)] if drawn else [])]
        order = sorted(range(len(slots)), key=lambda place: (slots[place] % 2, place))
        return _together(parts, np.argsort(order).tolist())

    def _prior_batch(self, prior: PriorPictures, positions: Sequence[int]) -> Batch:
        count = len(prior.rows)
        rows = [prior.rows[uniform_integer(self.seed, "prior/row", p, high=count)] for p in positions]
        latents = torch.stack([prior.images.row("latents", row) for row in rows]).float()
        shape, high = latents.shape[1:], self.num_train_timesteps
        return Batch(
            names=[f"picture {row} of the base model" for row in rows],
            latents=latents,
            noise=torch.stack([standard_normal(self.seed, "prior/noise", p, shape=shape) for p in positions]),
            timesteps=torch.tensor([uniform_integer(self.seed, "prior/timestep", p, high=high) for p in positions]),
            conditions=prior.conditions(rows, self.prior_input_ids),
            weights=torch.full((len(rows),), 2 * prior.weight),
        )

    def _own_batch(self, positions: Sequence[int]) -> Batch:
        count = len(self.training_rows)
        rows = [self.training_rows[self._epoch_order(p // count)[p % count]] for p in positions]
        views = [uniform_integer(self.seed, "train/view", p, high=self.views) for p in positions]
        timesteps = [uniform_integer(self.seed, "train/timestep", p, high=self.num_train_timesteps) for p in positions]
        noise = [self._noise(self.seed, "train/noise", p, row) for p, row in zip(positions, rows, strict=True)]
        return self._batch(rows, views, timesteps, noise, weight=2.0 if self.prior else 1.0)

    def validation_batch(self, indices: Sequence[int]) -> Batch:
        """Samples to validate on with their own fixed noise, and timesteps spread evenly over the schedule."""
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
        weight: float = 1.0,
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
            weights=torch.full((len(rows),), weight),
        )

    def _conditions(self, time_ids: Tensor, captions: Sequence[int]) -> Conditions:
        if self.input_ids is not None:
            return Conditions(time_ids, input_ids=self.input_ids[:, list(captions)])
        return Conditions(time_ids, text=self.captions.embeds(captions))


def _together(parts: Sequence[Batch], order: Sequence[int]) -> Batch:
    """One batch of all samples of `parts`: at each place the one that `order` names there."""

    def joined(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
        return torch.cat(list(tensors), dim).index_select(dim, torch.tensor(order))

    conditions = [part.conditions for part in parts]
    texts = [one.text for one in conditions if one.text is not None]
    ids = [one.input_ids for one in conditions if one.input_ids is not None]
    names = [name for part in parts for name in part.names]
    return Batch(
        names=[names[place] for place in order],
        latents=joined([part.latents for part in parts]),
        noise=joined([part.noise for part in parts]),
        timesteps=joined([part.timesteps for part in parts]),
        conditions=Conditions(
            time_ids=joined([one.time_ids for one in conditions]),
            text=TextEmbeds(joined([t.prompt_embeds for t in texts]), joined([t.pooled for t in texts]))
            if texts
            else None,
            input_ids=joined(ids, dim=1) if ids else None,
        ),
        weights=joined([part.weights for part in parts]),
    )


@lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    return permutation(seed, "train/order", epoch, length=count)
