"""Makes the batches of training: rows of the cache and draws, all functions of (seed, position in training)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from fashion_sweep.encodings.sharded_cache import ShardedCache
from fashion_sweep.models.model import Batch, Conditioning, Model
from fashion_sweep.rng import key, numpy_generator, permutation, standard_normal, uniform_integer

LATENTS = "latents"
"""The name of the tensor in caches of images that is learnt; the others are conditioning."""


@dataclass(frozen=True)
class TrainingBatch(Batch):
    """N samples that are trained on or validated with."""

    names: list[str]
    weights: Tensor
    """The weight of each sample's loss: N float32, all 1 without a prior; with one, the sum is that of both means."""
    draws: Tensor | None
    """A number that names the draws of each sample at its place in training, N int64; None in validation."""


class CaptionRows(Protocol):
    """Captions by their number, as the denoiser takes them."""

    def conditioning(self, rows: Sequence[int]) -> Conditioning:
        """Returns the conditioning of captions by their numbers, fractions as float32."""


@dataclass(frozen=True)
class CachedCaptions:
    cache: ShardedCache

    def conditioning(self, rows: Sequence[int]) -> Conditioning:
        return _rows(self.cache, self.cache.names, rows)


@dataclass(frozen=True)
class EncodedCaptions:
    """Captions encoded when they are needed, where the cache has no room for them; rounded as in the cache."""

    model: Model
    captions: Sequence[str]

    def conditioning(self, rows: Sequence[int]) -> Conditioning:
        with torch.autocast(self.model.device.type, enabled=False):
            text = self.model.encode_text([self.captions[row] for row in rows])
        return {
            name: _float32(tensor.half() if tensor.is_floating_point() else tensor) for name, tensor in text.items()
        }


@dataclass(frozen=True)
class HeldCaptions:
    """Captions held in memory: as tokens, for training a component that reads captions, or a few encoded ones."""

    rows: Conditioning

    def conditioning(self, rows: Sequence[int]) -> Conditioning:
        return {name: tensor[list(rows)] for name, tensor in self.rows.items()}


@dataclass(frozen=True)
class PriorPictures:
    """Encoded pictures of the base model, of which every second sample of a batch is one."""

    images: ShardedCache
    """The encoded pictures: a row has `latents` c,h,w, and the conditioning of framing and caption."""
    rows: Sequence[int]
    """The rows to train on."""
    caption: str
    weight: float
    """The weight of the pictures' loss beside that of the other samples."""


@dataclass(frozen=True)
class TrainingSet:
    """The encoded images of a run; rows of `images` are in the order of `names`."""

    images: ShardedCache
    """The encoded images: a row has `latents` views,c,h,w, and the conditioning of each view's framing."""
    captions: CaptionRows
    """The distinct captions."""
    names: Sequence[str]
    caption_rows: Sequence[int]
    training_rows: Sequence[int]
    validation_rows: Sequence[int]
    views: int
    seed: int
    validation_seed: int
    """The seed of validation noise, apart from `seed` so that trials of several seeds are validated alike."""
    num_train_timesteps: int
    prior: PriorPictures | None = None
    prior_captions: CaptionRows | None = None
    """The prior's one caption as tokens, for training a component that reads captions. None: the caption as encoded
    beside the pictures."""
    noise_offset: float = 0.0
    """How much noise all pixels of a channel have in common."""
    empty_caption: CaptionRows | None = None
    """The empty caption, where some samples are to have it."""
    proportion_empty_prompts: float = 0.0

    def training_batch(self, step: int, batch_size: int, slots: Sequence[int]) -> TrainingBatch:
        """Returns the samples at `slots`, a worker's share of range(batch_size), of the global batch of `step`."""
        if self.prior is None:
            return self._own_batch([step * batch_size + slot for slot in slots])
        half = batch_size // 2  # even slots: of the images; odd ones: of the base model
        own = [step * half + slot // 2 for slot in slots if slot % 2 == 0]
        drawn = [step * half + slot // 2 for slot in slots if slot % 2]
        parts = [*([self._own_batch(own)] if own else []), *([self._prior_batch(self.prior, drawn)] if drawn else [])]
        order = sorted(range(len(slots)), key=lambda place: (slots[place] % 2, place))
        return _together(parts, np.argsort(order).tolist())

    def _prior_batch(self, prior: PriorPictures, positions: Sequence[int]) -> TrainingBatch:
        count = len(prior.rows)
        rows = [prior.rows[uniform_integer(self.seed, "prior/row", p, high=count)] for p in positions]
        latents = torch.stack([prior.images.row(LATENTS, row) for row in rows]).float()
        shape, high = latents.shape[1:], self.num_train_timesteps
        noise = [standard_normal(self.seed, "prior/noise", p, shape=shape) for p in positions]
        return TrainingBatch(
            names=[f"picture {row} of the base model" for row in rows],
            latents=latents,
            noise=torch.stack(self._offset(noise, "prior/offset", positions)),
            timesteps=torch.tensor([uniform_integer(self.seed, "prior/timestep", p, high=high) for p in positions]),
            conditioning=self._prior_conditioning(prior, rows),
            weights=torch.full((len(rows),), 2 * prior.weight),
            draws=torch.tensor([key(self.seed, "prior/draws", p) for p in positions]),
        )

    def _own_batch(self, positions: Sequence[int]) -> TrainingBatch:
        count = len(self.training_rows)
        rows = [self.training_rows[self._epoch_order(p // count)[p % count]] for p in positions]
        views = [uniform_integer(self.seed, "train/view", p, high=self.views) for p in positions]
        timesteps = [uniform_integer(self.seed, "train/timestep", p, high=self.num_train_timesteps) for p in positions]
        noise = [self._noise(self.seed, "train/noise", p, row) for p, row in zip(positions, rows, strict=True)]
        noise = self._offset(noise, "train/offset", positions)
        batch = self._batch(rows, views, timesteps, noise, weight=2.0 if self.prior else 1.0)
        batch = replace(batch, draws=torch.tensor([key(self.seed, "train/draws", p) for p in positions]))
        if self.empty_caption is None:
            return batch
        share = self.proportion_empty_prompts
        left_out = [numpy_generator(self.seed, "train/empty", p).random() < share for p in positions]
        return replace(
            batch, conditioning=_replaced(batch.conditioning, self.empty_caption.conditioning([0]), left_out)
        )

    def _offset(self, noise: Sequence[Tensor], purpose: str, positions: Sequence[int]) -> list[Tensor]:
        """Adds to the noise c,h,w of each position what all pixels of a channel have in common."""
        if not self.noise_offset:
            return list(noise)
        common = (standard_normal(self.seed, purpose, p, shape=(noise[0].shape[0], 1, 1)) for p in positions)
        return [own + self.noise_offset * shift for own, shift in zip(noise, common, strict=True)]

    def validation_batch(self, indices: Sequence[int]) -> TrainingBatch:
        """Returns samples to validate with, their noise fixed and timesteps spread evenly over the schedule."""
        count = len(self.validation_rows)
        timesteps = [int((i + 0.5) / count * self.num_train_timesteps) for i in indices]
        rows = [self.validation_rows[i] for i in indices]
        noise = [
            self._noise(self.validation_seed, "validation/noise", i, row) for i, row in zip(indices, rows, strict=True)
        ]
        return self._batch(rows, [0] * len(rows), timesteps, noise)

    def _noise(self, seed: int, purpose: str, index: int, row: int) -> Tensor:
        return standard_normal(seed, purpose, index, shape=self.images.row(LATENTS, row).shape[1:])

    def _epoch_order(self, epoch: int) -> np.ndarray:
        return _epoch_order(self.seed, epoch, len(self.training_rows))

    def _batch(
        self,
        rows: Sequence[int],
        views: Sequence[int],
        timesteps: Sequence[int],
        noise: Sequence[Tensor],
        weight: float = 1.0,
    ) -> TrainingBatch:
        latents, *framing = (
            torch.stack([self.images.row(name, row)[view] for row, view in zip(rows, views, strict=True)])
            for name in (LATENTS, *self._framing)
        )
        captions = self.captions.conditioning([self.caption_rows[row] for row in rows])
        return TrainingBatch(
            names=[self.names[row] for row in rows],
            latents=latents.float(),
            noise=torch.stack(list(noise)),
            timesteps=torch.tensor(timesteps),
            conditioning=dict(zip(self._framing, framing, strict=True)) | dict(captions),
            weights=torch.full((len(rows),), weight),
            draws=None,
        )

    @property
    def _framing(self) -> list[str]:
        return [name for name in self.images.names if name != LATENTS]

    def _prior_conditioning(self, prior: PriorPictures, rows: Sequence[int]) -> Conditioning:
        if self.prior_captions is None:
            return _rows(prior.images, [name for name in prior.images.names if name != LATENTS], rows)
        return dict(_rows(prior.images, self._framing, rows)) | dict(self.prior_captions.conditioning([0] * len(rows)))


def _replaced(conditioning: Conditioning, other: Conditioning, where: Sequence[bool]) -> Conditioning:
    """Returns the conditioning with one row of another in the place of some of its own."""
    replaced, chosen = dict(conditioning), torch.tensor(where)
    for name, row in other.items():
        rows = conditioning[name]
        replaced[name] = torch.where(chosen.view(-1, *[1] * (rows.ndim - 1)), row.to(rows), rows)
    return replaced


def _rows(cache: ShardedCache, names: Sequence[str], rows: Sequence[int]) -> Conditioning:
    return {name: _float32(torch.stack([cache.row(name, row) for row in rows])) for name in names}


def _float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _together(parts: Sequence[TrainingBatch], order: Sequence[int]) -> TrainingBatch:
    """Joins the samples of `parts` into one batch: at each place the one that `order` names there."""

    def joined(tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat(list(tensors)).index_select(0, torch.tensor(order))

    names = [name for part in parts for name in part.names]
    return TrainingBatch(
        names=[names[place] for place in order],
        latents=joined([part.latents for part in parts]),
        noise=joined([part.noise for part in parts]),
        timesteps=joined([part.timesteps for part in parts]),
        conditioning={name: joined([part.conditioning[name] for part in parts]) for name in parts[0].conditioning},
        weights=joined([part.weights for part in parts]),
        draws=joined([part.draws for part in parts if part.draws is not None]),
    )


@lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    return permutation(seed, "train/order", epoch, length=count)
