"""The parts of the shared cache: what each holds, which of them trials need, what a row of it takes. Without torch."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from fashion_sweep.checks import feature_dimension
from fashion_sweep.config import RunConfig, Size
from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.data.split import evaluation_order
from fashion_sweep.files import read_json
from fashion_sweep.models.assumed_gpu import BFLOAT16_TFLOPS, FLOAT32_SHARE, TF32_SHARE
from fashion_sweep.models.locate import locate_architecture
from fashion_sweep.space import TrialSpec
from fashion_sweep.sweep_file import EvaluationSet

TRAINED_ON: EvaluationSet = "fashion"
TOKENS, TIME_IDS, FACTOR, CHANNELS = 77, 6, 8, 4
BFLOAT16_FLOPS = 1e12 * BFLOAT16_TFLOPS
TF32_FLOPS, FLOAT32_FLOPS = TF32_SHARE * BFLOAT16_FLOPS, FLOAT32_SHARE * BFLOAT16_FLOPS
"""A second."""
FILE_S = 0.015
"""To decode, resize and crop a photograph of 750x1101: 14 ms on a core of a Xeon."""
ENCODER_FLOPS_PER_PIXEL = 4.25e6  # of SDXL's autoencoder, counted on the meta device
CAPTION_FLOPS = 2 * TOKENS * (123e6 + 695e6)  # of SDXL's text encoders
INCEPTION_FLOPS = 11.4e9
DENOISER_FLOPS_PER_PIXEL = 6.1e6  # of SDXL's UNet, likewise
SDXL_TEXT_WIDTH = 768 + 1280


@dataclass(frozen=True)
class CachePart(ABC):
    config: RunConfig
    views: int
    """Kept of each image trained on."""
    data_set: EvaluationSet = TRAINED_ON
    KIND: ClassVar[str]
    TITLE: ClassVar[str]
    MADE_BY: ClassVar[Literal["model", "judge"]] = "model"
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
        return 1 / self._sdxl_seconds if _text_widths(self.config)[0] == SDXL_TEXT_WIDTH else None

    @property
    @abstractmethod
    def _sdxl_seconds(self) -> float:
        """For a row."""

    @property
    def size(self) -> Size:
        return self.config.preset.data.of(self.data_set).evaluation


class Images(CachePart):
    """`latents` views,c,h,w float16 and `time_ids` views,6 float32 of the images trained on."""

    KIND, TITLE, FOR_TRAINING = "images", "latents of views", True

    def key(self, catalogue: Catalogue, weights: Mapping[str, str]) -> dict[str, Any]:
        transform = {"size": self.size, "views": self.views, "seed": self.config.preset.training.seed}
        return _autoencoder(weights) | transform | {"data": _identity(catalogue.records)}

    @property
    def row_bytes(self) -> int:
        return self.views * _view_bytes(self.config, self.size)

    @property
    def rate_key(self) -> str:
        return f"{self.kind} {self.config.preset.model.base} {_text_of(self.size)} views {self.views}"

    @property
    def _sdxl_seconds(self) -> float:
        return FILE_S + self.views * _pixels(self.size) * ENCODER_FLOPS_PER_PIXEL / TF32_FLOPS

    @property
    def size(self) -> Size:
        return self.config.preset.training.image


class Captions(CachePart):
    """`prompt_embeds` tokens,d and `pooled` p, float16, of the distinct captions trained on, sorted."""

    KIND, TITLE, FOR_TRAINING = "captions", "prompt embeddings", True

    def is_needed(self, specs: Collection[TrialSpec]) -> bool:
        return any(not spec.trains_text_encoders for spec in specs if not spec.is_base_model)

    def rows(self, images: int, captions: int) -> int:
        return captions

    def key(self, catalogue: Catalogue, weights: Mapping[str, str]) -> dict[str, Any]:
        return _text_encoders(self.config, weights) | {"captions": catalogue.distinct_captions}

    @property
    def row_bytes(self) -> int:
        width, pooled = _text_widths(self.config)
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
        return f"{self.kind} {self.config.preset.evaluation.features} {_text_of(self.size)}"

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
        return _view_bytes(self.config, self.size) + 4

    @property
    def _sdxl_seconds(self) -> float:
        per_pixel = ENCODER_FLOPS_PER_PIXEL / TF32_FLOPS + DENOISER_FLOPS_PER_PIXEL / BFLOAT16_FLOPS
        return FILE_S + _pixels(self.size) * per_pixel


def all_parts(config: RunConfig, views: int) -> dict[str, CachePart]:
    """By kind, in the order in which they are made: last what the judge makes, so that a worker changes models once."""
    judged = sorted(config.sweep.judge)
    losses = [Loss(config, views, name) for name in judged if name != TRAINED_ON]
    parts = [Images(config, views), Captions(config, views), *losses, *(Reference(config, views, n) for n in judged)]
    return {part.kind: part for part in parts}


def _autoencoder(weights: Mapping[str, str]) -> dict[str, str]:
    return {name: weights[name] for name in ("base", "vae") if name in weights}


def _text_encoders(config: RunConfig, weights: Mapping[str, str]) -> dict[str, str]:
    return {"base": weights["base"], "precision": config.preset.model.dtype}


def _identity(records: Sequence[Record]) -> list[Any]:
    """What tells a changed data set from the same one without reading every pixel."""
    return [(record.name, record.width, record.height, record.bytes, record.modified) for record in records]


def _pixels(size: Size) -> int:
    return size.height * size.width


def _view_bytes(config: RunConfig, size: Size) -> int:
    channels = _component(config, "unet").get("in_channels", CHANNELS)
    blocks = _component(config, "vae").get("block_out_channels")
    factor = 2 ** (len(blocks) - 1) if blocks else FACTOR
    return 2 * channels * (size.height // factor) * (size.width // factor) + 4 * TIME_IDS


def _text_widths(config: RunConfig) -> tuple[int, int]:
    """Of the two encoders' states side by side, and of the pooled embedding."""
    first, second = (_component(config, name) for name in ("text_encoder", "text_encoder_2"))
    return first.get("hidden_size", 768) + second.get("hidden_size", 1280), second.get("projection_dim", 1280)


def _component(config: RunConfig, name: str) -> dict[str, Any]:
    base = Path(locate_architecture(config.preset.model.base, "model.base"))
    values: dict[str, Any] = read_json(base / name / "config.json", {})
    return values


def _text_of(size: Size) -> str:
    return f"{size.height}x{size.width}/{size.shorter_side}"
