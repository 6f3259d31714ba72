"""The parts of the shared cache: their contents, which of them trials need, the cost of a row. Imports no torch."""

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from fashion_sweep.config.data_source import Size
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.data.split import evaluation_order
from fashion_sweep.doors import TASKS
from fashion_sweep.encodings.cache_part import CachePart, identity
from fashion_sweep.encodings.reference_part import references
from fashion_sweep.models.architecture import Fingerprints, Operations
from fashion_sweep.planning.cost import FILE_S, text_of
from fashion_sweep.planning.gpu import Gpu


class Images(CachePart):
    """The part with `latents` views,c,h,w float16 and each view's framing conditioning, of the images trained on."""

    KIND, TITLE, FOR_TRAINING = "images", "latents of views", True
    ENCODER = "fashion_sweep.encodings.encoders:images"

    def key(self, catalogue: Catalogue, model: Fingerprints) -> dict[str, Any]:
        transform = {"size": self.size, "views": self.views, "seed": self.config.preset.training.seed}
        return dict(model.autoencoder) | transform | {"data": identity(catalogue.records)}

    @property
    def row_bytes(self) -> int:
        return self.views * self._view_bytes

    @property
    def rate_key(self) -> str:
        return f"{self.kind} {self.config.preset.model.base} {text_of(self.size)} views {self.views}"

    def seconds(self, work: Operations, gpu: Gpu) -> float:
        return FILE_S + self.views * work.encode / gpu.tf32

    @property
    def size(self) -> Size:
        return self.config.preset.training.image


class Captions(CachePart):
    """The part with the conditioning, fractions as float16, of the distinct captions trained on, sorted."""

    KIND, TITLE, FOR_TRAINING = "captions", "prompt embeddings", True
    ENCODER = "fashion_sweep.encodings.encoders:captions"

    def is_needed(self, specs: Collection[TrialSpec]) -> bool:
        return any(not spec.trains_conditioning for spec in specs if not spec.is_base_model)

    def rows(self, images: int, captions: int) -> int:
        return captions

    def key(self, catalogue: Catalogue, model: Fingerprints) -> dict[str, Any]:
        return dict(model.text) | {"captions": catalogue.distinct_captions}

    @property
    def row_bytes(self) -> int:
        return self._caption_bytes

    def seconds(self, work: Operations, gpu: Gpu) -> float:
        return work.text / gpu.bfloat16


class Loss(CachePart):
    """The part with the first images judged of a set that nothing is trained on, and the base model's loss on them.

    It holds `latents` c,h,w float16, the conditioning of the framing, and `loss`.
    """

    KIND, TITLE = "loss-{}", "{} images and their loss"
    ENCODER = "fashion_sweep.encodings.encoders:base_losses"

    def rows(self, images: int, captions: int) -> int:
        return min(images, self.config.preset.evaluation.loss_samples)

    def records(self, catalogue: Catalogue) -> list[Record]:
        order = evaluation_order(catalogue, self.config.preset.generation.seed)
        return order[: self.config.preset.evaluation.loss_samples]

    def key(self, catalogue: Catalogue, model: Fingerprints) -> dict[str, Any]:
        """Returns what the content depends on, all records among it: their number decides on each one's timestep."""
        records, seed = self.records(catalogue), self.config.preset.generation.seed
        data = {"data": identity(records), "captions": [record.caption for record in records]}
        weights = {**model.autoencoder, **model.text, **model.loss}
        return weights | data | {"size": self.size, "seed": seed}

    @property
    def row_bytes(self) -> int:
        return self._view_bytes + 4

    def seconds(self, work: Operations, gpu: Gpu) -> float:
        return FILE_S + work.encode / gpu.tf32 + (work.base + work.text) / gpu.bfloat16


class Cached(Protocol):
    """The interface of a task that adds parts to the cache."""

    def cache_parts(self, config: RunConfig, views: int) -> Sequence[CachePart]:
        """Returns the parts that the task's trials need beside images and captions; `views`: kept of each image."""


def all_parts(config: RunConfig, views: int) -> dict[str, CachePart]:
    """Returns all parts by kind in the order of making: the judge's come last, so that a worker changes models once."""
    judged, trained = sorted(config.sweep.judge), config.preset.training_set
    data = config.preset.data
    losses = [Loss(config, views, name) for name in judged if name != trained and not data[name].quantization]
    compared = [part for name in judged for part in references(config, views, name)]
    task: Cached = TASKS[config.sweep.task]
    of_the_task = task.cache_parts(config, views)
    parts = [Images(config, views, trained), Captions(config, views, trained), *of_the_task, *losses, *compared]
    return {part.kind: part for part in parts}
