"""The parts of the shared cache: what each holds, which of them trials need, what a row of it takes. Without torch."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fashion_sweep.config.data_source import Size
from fashion_sweep.config.preset import PriorConfig, RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.data.split import evaluation_order
from fashion_sweep.metrics.sample_size import feature_dimension
from fashion_sweep.models.architecture import Architecture, Fingerprints, TypicalWork
from fashion_sweep.models.registry import architecture_of
from fashion_sweep.planning.cost import (
    BFLOAT16_FLOPS,
    FILE_S,
    FLOAT32_FLOPS,
    INCEPTION_FLOPS,
    TF32_FLOPS,
    pixels,
    text_of,
)


@dataclass(frozen=True)
class Weights:
    """Fingerprints of all models that fill the cache."""

    model: Fingerprints
    clip: str


@dataclass(frozen=True)
class CachePart(ABC):
    config: RunConfig
    views: int
    """Kept of each image trained on."""
    data_set: str
    KIND: ClassVar[str]
    TITLE: ClassVar[str]
    MADE_BY: ClassVar[Literal["model", "pipelines", "judge"]] = "model"
    """The base model; with all that drawing pictures takes; or the feature extractors."""
    FOR_TRAINING: ClassVar[bool] = False

    @property
    def kind(self) -> str:
        """Its name in folders and files."""
        return self.KIND.format(self.data_set)

    @property
    def title(self) -> str:
        return self.TITLE.format(self.data_set)

    def is_needed(self, specs: Collection[TrialSpec]) -> bool:
        """Whether trials of `specs` use it, if all of them are trained."""
        return any(not spec.is_base_model for spec in specs)

    def rows(self, images: int, captions: int) -> int:
        """Of a data set with so many images and distinct captions."""
        return images

    @abstractmethod
    def key(self, catalogue: Catalogue, weights: Weights) -> dict[str, Any]:
        """Whatever its content depends on."""

    @property
    @abstractmethod
    def row_bytes(self) -> int:
        """Of one row, as `prepare.py` writes it."""

    @property
    def rate_key(self) -> str:
        """What a row costs depends on this, besides the hardware."""
        return f"{self.kind} {self.config.preset.model.base} {self.config.preset.model.dtype}"

    @property
    def assumed_rate(self) -> float | None:
        """Rows a second on an A100-class GPU; None for models whose work is not known without counting."""
        work = self.architecture.typical_work(self.config.preset.model)
        return None if work is None else 1 / self._assumed_seconds(work)

    @property
    def architecture(self) -> Architecture:
        return architecture_of(self.config.preset.model)

    @abstractmethod
    def _assumed_seconds(self, work: TypicalWork) -> float:
        """For a row."""

    @property
    def _view_bytes(self) -> int:
        return self.architecture.view_bytes(self.config.preset.model, self.size)

    @property
    def _caption_bytes(self) -> int:
        return self.architecture.caption_bytes(self.config.preset.model)

    @property
    def size(self) -> Size:
        return self.config.preset.picture_size(self.data_set)


class Images(CachePart):
    """`latents` views,c,h,w float16 and the conditioning of each view's framing, of the images trained on."""

    KIND, TITLE, FOR_TRAINING = "images", "latents of views", True

    def key(self, catalogue: Catalogue, weights: Weights) -> dict[str, Any]:
        transform = {"size": self.size, "views": self.views, "seed": self.config.preset.training.seed}
        return dict(weights.model.autoencoder) | transform | {"data": _identity(catalogue.records)}

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


class Reference(CachePart):
    """`features` d float32 of the real images of a set that is judged."""

    KIND, TITLE, MADE_BY = "reference-{}", "features of {} images", "judge"

    def is_needed(self, specs: Collection[TrialSpec]) -> bool:
        return True

    def key(self, catalogue: Catalogue, weights: Weights) -> dict[str, Any]:
        extractor = {"features": self.config.preset.evaluation.features, "clip": weights.clip}
        return extractor | {"data": _identity(catalogue.records), "size": self.size}

    @property
    def row_bytes(self) -> int:
        return 4 * feature_dimension(self.config.preset.evaluation)

    @property
    def rate_key(self) -> str:
        return f"{self.kind} {self.config.preset.evaluation.features} {text_of(self.size)}"

    def _assumed_seconds(self, work: TypicalWork) -> float:
        return FILE_S + INCEPTION_FLOPS / FLOAT32_FLOPS


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
        data = {"data": _identity(records), "captions": [record.caption for record in records]}
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
    references = [Reference(config, views, name) for name in judged]
    parts: list[CachePart] = [Images(config, views, trained), Captions(config, views, trained), *losses, *references]
    if config.sweep.garments and config.preset.garment and config.preset.garment.prior:
        parts.insert(2, Prior(config, views, trained))
    return {part.kind: part for part in parts}


def _identity(records: Sequence[Record]) -> list[Any]:
    return [record.identity for record in records]
