"""The parts of the shared cache: what each holds, which of them trials need, what a row of it takes. Without torch."""

from collections.abc import Collection
from typing import Any

from fashion_sweep.config.data_source import Size
from fashion_sweep.config.preset import PriorConfig, RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.data.split import evaluation_order
from fashion_sweep.encodings.cache_part import CachePart, Weights, identity
from fashion_sweep.encodings.reference_part import references
from fashion_sweep.models.architecture import TypicalWork
from fashion_sweep.planning.cost import (
    BFLOAT16_FLOPS,
    FILE_S,
    TF32_FLOPS,
    pixels,
    text_of,
)


class Images(CachePart):
    """`latents` views,c,h,w float16 and the conditioning of each view's framing, of the images trained on."""

    KIND, TITLE, FOR_TRAINING = "images", "latents of views", True

    def key(self, catalogue: Catalogue, weights: Weights) -> dict[str, Any]:
        transform = {"size": self.size, "views": self.views, "seed": self.config.preset.training.seed}
        return dict(weights.model.autoencoder) | transform | {"data": identity(catalogue.records)}

    @property
    def row_bytes(self) -> int:
        return self.views * self._view_bytes

    @property
    def rate_key(self) -> str:
        return f"{self.kind} {self.config.preset.model.base} {text_of(self.size)} views {self.views}"

    def _assumed_seconds(self, work: TypicalWork) -> float:
        return FILE_S + self.views * pixels(self.size) * work.encoder_per_pixel / TF32_FLOPS

    @property
    def size(self) -> Size:
        return self.config.preset.training.image


class Captions(CachePart):
    """The conditioning, its fractions as float16, of the distinct captions trained on, sorted."""

    KIND, TITLE, FOR_TRAINING = "captions", "prompt embeddings", True

    def is_needed(self, specs: Collection[TrialSpec]) -> bool:
        return any(not spec.trains_conditioning for spec in specs if not spec.is_base_model)

    def rows(self, images: int, captions: int) -> int:
        return captions

    def key(self, catalogue: Catalogue, weights: Weights) -> dict[str, Any]:
        return dict(weights.model.text) | {"captions": catalogue.distinct_captions}

    @property
    def row_bytes(self) -> int:
        return self._caption_bytes

    def _assumed_seconds(self, work: TypicalWork) -> float:
        return work.caption / BFLOAT16_FLOPS


class Loss(CachePart):
    """`latents` c,h,w float16, the conditioning of the framing and the base model's `loss` of the first images judged,
    of a set that nothing is trained on."""

    KIND, TITLE = "loss-{}", "{} images and their loss"

    def rows(self, images: int, captions: int) -> int:
        return min(images, self.config.preset.evaluation.loss_samples)

    def records(self, catalogue: Catalogue) -> list[Record]:
        order = evaluation_order(catalogue, self.config.preset.generation.seed)
        return order[: self.config.preset.evaluation.loss_samples]

    def key(self, catalogue: Catalogue, weights: Weights) -> dict[str, Any]:
        """Of all the records in their order: how many they are decides on the timestep of each."""
        records, seed = self.records(catalogue), self.config.preset.generation.seed
        data = {"data": identity(records), "captions": [record.caption for record in records]}
        return dict(weights.model.autoencoder) | dict(weights.model.text) | data | {"size": self.size, "seed": seed}

    @property
    def row_bytes(self) -> int:
        return self._view_bytes + 4

    def _assumed_seconds(self, work: TypicalWork) -> float:
        per_pixel = work.encoder_per_pixel / TF32_FLOPS + work.denoiser_per_pixel / BFLOAT16_FLOPS
        return FILE_S + pixels(self.size) * per_pixel


class Prior(CachePart):
    """Pictures that the base model draws of each kind of garment, encoded as if they were photos: `latents` c,h,w
    float16, and the conditioning of framing and caption."""

    KIND, TITLE, MADE_BY, FOR_TRAINING = "prior", "pictures of each kind", "pipelines", True

    @property
    def kinds(self) -> list[str]:
        return sorted({garment.kind for garment in self.config.sweep.garments})

    @property
    def prior(self) -> PriorConfig:
        assert self.config.preset.garment is not None
        assert self.config.preset.garment.prior is not None
        return self.config.preset.garment.prior

    def caption(self, kind: str) -> str:
        return self.prior.caption.replace("{kind}", kind)

    def rows_of(self, kind: str) -> range:
        first = self.kinds.index(kind) * self.prior.images
        return range(first, first + self.prior.images)

    def rows(self, images: int, captions: int) -> int:
        return len(self.kinds) * self.prior.images

    def key(self, catalogue: Catalogue, weights: Weights) -> dict[str, Any]:
        drawn = {"generation": self.config.preset.generation.model_dump(mode="json"), **weights.model.drawing}
        captions = [self.caption(kind) for kind in self.kinds]
        wanted = {"captions": captions, "each": self.prior.images, "size": self.size}
        return dict(weights.model.autoencoder) | dict(weights.model.text) | drawn | wanted

    @property
    def row_bytes(self) -> int:
        return self._view_bytes + self._caption_bytes

    def _assumed_seconds(self, work: TypicalWork) -> float:
        generation = self.config.preset.generation
        passes = generation.num_inference_steps * (2 if generation.guidance_scale > 1 else 1)
        drawing = passes * work.denoiser_per_pixel / BFLOAT16_FLOPS
        return pixels(self.size) * (drawing + 3 * work.encoder_per_pixel / TF32_FLOPS)  # a decoder is two encoders

    @property
    def size(self) -> Size:
        return self.config.preset.training.image


def all_parts(config: RunConfig, views: int) -> dict[str, CachePart]:
    """By kind, in the order in which they are made: last what the judge makes, so that a worker changes models once."""
    judged, trained = sorted(config.sweep.judge), config.preset.training_set
    losses = [Loss(config, views, name) for name in judged if name != trained]
    compared = [part for name in judged for part in references(config, views, name)]
    parts: list[CachePart] = [Images(config, views, trained), Captions(config, views, trained), *losses, *compared]
    if config.sweep.garments and config.preset.garment and config.preset.garment.prior:
        parts.insert(2, Prior(config, views, trained))
    return {part.kind: part for part in parts}
