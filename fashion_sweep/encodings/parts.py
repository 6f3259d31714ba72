"""The parts of the shared cache: what each holds, which of them trials need, what a row of it takes. Without torch."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fashion_sweep.config.data_source import Size
from fashion_sweep.config.preset import PriorConfig, RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.data.split import evaluation_order
from fashion_sweep.metrics.sample_size import feature_dimension
from fashion_sweep.planning.cost import (
    BFLOAT16_FLOPS,
    CAPTION_FLOPS,
    DENOISER_FLOPS_PER_PIXEL,
    ENCODER_FLOPS_PER_PIXEL,
    FILE_S,
    FLOAT32_FLOPS,
    INCEPTION_FLOPS,
    SDXL_TEXT_WIDTH,
    TF32_FLOPS,
    TOKENS,
    pixels,
    text_of,
    text_widths,
    view_bytes,
)


@dataclass(frozen=True)
class CachePart(ABC):
    config: RunConfig
    views: int
    """Kept of each image trained on."""
    data_set: str
    KIND: ClassVar[str]
    TITLE: ClassVar[str]
    MADE_BY: ClassVar[Literal["model", "pipelines", "judge"]] = "model"
    """The base model; with its refiner, as pictures are drawn; or the feature extractors."""
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
    def key(self, catalogue: Catalogue, weights: Mapping[str, str]) -> dict[str, Any]:
        """Whatever its content depends on; `weights` are fingerprints."""

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
        """Rows a second on an A100-class GPU; None for models that are not of SDXL's size."""
        return 1 / self._sdxl_seconds if text_widths(self.config)[0] == SDXL_TEXT_WIDTH else None

    @property
    @abstractmethod
    def _sdxl_seconds(self) -> float:
        """For a row."""

    @property
    def size(self) -> Size:
        return self.config.preset.picture_size(self.data_set)


class Images(CachePart):
    """`latents` views,c,h,w float16 and `time_ids` views,6 float32 of the images trained on."""

    KIND, TITLE, FOR_TRAINING = "images", "latents of views", True

    def key(self, catalogue: Catalogue, weights: Mapping[str, str]) -> dict[str, Any]:
        transform = {"size": self.size, "views": self.views, "seed": self.config.preset.training.seed}
        return _autoencoder(weights) | transform | {"data": _identity(catalogue.records)}

    @property
    def row_bytes(self) -> int:
        return self.views * view_bytes(self.config, self.size)

    @property
    def rate_key(self) -> str:
        return f"{self.kind} {self.config.preset.model.base} {text_of(self.size)} views {self.views}"

    @property
    def _sdxl_seconds(self) -> float:
        return FILE_S + self.views * pixels(self.size) * ENCODER_FLOPS_PER_PIXEL / TF32_FLOPS

    @property
    def size(self) -> Size:
        return self.config.preset.training.image


class Captions(CachePart):
    """`prompt_embeds` tokens,d and `pooled` p, float16, of the distinct captions trained on, sorted."""

    KIND, TITLE, FOR_TRAINING = "captions", "prompt embeddings", True

    def is_needed(self, specs: Collection[TrialSpec]) -> bool:
        return any(not spec.trains_conditioning for spec in specs if not spec.is_base_model)

    def rows(self, images: int, captions: int) -> int:
        return captions

    def key(self, catalogue: Catalogue, weights: Mapping[str, str]) -> dict[str, Any]:
        return _text_encoders(self.config, weights) | {"captions": catalogue.distinct_captions}

    @property
    def row_bytes(self) -> int:
        width, pooled = text_widths(self.config)
        return 2 * (TOKENS * width + pooled)

    @property
    def _sdxl_seconds(self) -> float:
        return CAPTION_FLOPS / BFLOAT16_FLOPS


class Reference(CachePart):
    """`features` d float32 of the real images of a set that is judged."""

    KIND, TITLE, MADE_BY = "reference-{}", "features of {} images", "judge"

    def is_needed(self, specs: Collection[TrialSpec]) -> bool:
        return True

    def key(self, catalogue: Catalogue, weights: Mapping[str, str]) -> dict[str, Any]:
        extractor = {"features": self.config.preset.evaluation.features, "clip": weights["clip"]}
        return extractor | {"data": _identity(catalogue.records), "size": self.size}

    @property
    def row_bytes(self) -> int:
        return 4 * feature_dimension(self.config.preset.evaluation)

    @property
    def rate_key(self) -> str:
        return f"{self.kind} {self.config.preset.evaluation.features} {text_of(self.size)}"

    @property
    def _sdxl_seconds(self) -> float:
        return FILE_S + INCEPTION_FLOPS / FLOAT32_FLOPS


class Loss(CachePart):
    """`latents` c,h,w float16, `time_ids` 6 float32 and the base model's `loss` of the first images judged, of a set
    that nothing is trained on."""

    KIND, TITLE = "loss-{}", "{} images and their loss"

    def rows(self, images: int, captions: int) -> int:
        return min(images, self.config.preset.evaluation.loss_samples)

    def records(self, catalogue: Catalogue) -> list[Record]:
        order = evaluation_order(catalogue, self.config.preset.generation.seed)
        return order[: self.config.preset.evaluation.loss_samples]

    def key(self, catalogue: Catalogue, weights: Mapping[str, str]) -> dict[str, Any]:
        """Of all the records in their order: how many they are decides on the timestep of each."""
        records, seed = self.records(catalogue), self.config.preset.generation.seed
        data = {"data": _identity(records), "captions": [record.caption for record in records]}
        return _autoencoder(weights) | _text_encoders(self.config, weights) | data | {"size": self.size, "seed": seed}

    @property
    def row_bytes(self) -> int:
        return view_bytes(self.config, self.size) + 4

    @property
    def _sdxl_seconds(self) -> float:
        per_pixel = ENCODER_FLOPS_PER_PIXEL / TF32_FLOPS + DENOISER_FLOPS_PER_PIXEL / BFLOAT16_FLOPS
        return FILE_S + pixels(self.size) * per_pixel


class Prior(CachePart):
    """Pictures that the base model draws of each kind of garment, encoded as if they were photos: `latents` c,h,w and
    `prompt_embeds` tokens,d and `pooled` p, float16, and `time_ids` 6 float32."""

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

    def key(self, catalogue: Catalogue, weights: Mapping[str, str]) -> dict[str, Any]:
        drawn = {"generation": self.config.preset.generation.model_dump(mode="json"), "refiner": weights["refiner"]}
        captions = [self.caption(kind) for kind in self.kinds]
        wanted = {"captions": captions, "each": self.prior.images, "size": self.size}
        return _autoencoder(weights) | _text_encoders(self.config, weights) | drawn | wanted

    @property
    def row_bytes(self) -> int:
        width, pooled = text_widths(self.config)
        return view_bytes(self.config, self.size) + 2 * (TOKENS * width + pooled)

    @property
    def _sdxl_seconds(self) -> float:
        generation = self.config.preset.generation
        passes = generation.num_inference_steps * (2 if generation.guidance_scale > 1 else 1)
        drawing = passes * DENOISER_FLOPS_PER_PIXEL / BFLOAT16_FLOPS
        return pixels(self.size) * (drawing + 3 * ENCODER_FLOPS_PER_PIXEL / TF32_FLOPS)  # a decoder is two encoders

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


def _autoencoder(weights: Mapping[str, str]) -> dict[str, str]:
    return {name: weights[name] for name in ("base", "vae") if name in weights}


def _text_encoders(config: RunConfig, weights: Mapping[str, str]) -> dict[str, str]:
    return {"base": weights["base"], "precision": config.preset.model.dtype}


def _identity(records: Sequence[Record]) -> list[Any]:
    return [record.identity for record in records]
