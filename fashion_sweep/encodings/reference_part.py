"""The part of the shared cache with features of real images, one per set and extractor. Imports no torch."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue
from fashion_sweep.encodings.cache_part import CachePart, identity
from fashion_sweep.metrics.evaluate import compared_extractors
from fashion_sweep.metrics.extractors import FEATURES, dimension_of, identity_of, kept_as, operations_of
from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.models.architecture import Fingerprints, Operations
from fashion_sweep.planning.cost import FILE_S, text_of
from fashion_sweep.planning.gpu import Gpu


@dataclass(frozen=True)
class Reference(CachePart):
    """The part with `features` d float32 of the real images of a set that is judged, by one extractor."""

    extractor: str = FEATURES
    KIND, TITLE, MADE_BY = "reference-{}", "features of {} images", "judge"
    ENCODER = "fashion_sweep.encodings.encoders:features"

    @property
    def kind(self) -> str:
        return reference_kind(self.data_set, self.extractor)

    @property
    def title(self) -> str:
        return super().title + ("" if self.extractor == FEATURES else f" by {self.extractor}")

    def is_needed(self, specs: Collection[TrialSpec]) -> bool:
        return True

    def key(self, catalogue: Catalogue, model: Fingerprints) -> dict[str, Any]:
        network = identity_of(self.extractor, self.config.preset.evaluation)
        return {"network": network, "data": identity(catalogue.records), "size": self.size}

    @property
    def row_bytes(self) -> int:
        return 4 * dimension_of(self.extractor, self.config.preset.evaluation)

    @property
    def rate_key(self) -> str:
        return f"{self.kind} {self._extractor} {text_of(self.size)}"

    def seconds(self, work: Operations, gpu: Gpu) -> float:
        return FILE_S + operations_of(self.extractor, self.config.preset.evaluation) / gpu.float32

    @property
    def _extractor(self) -> str:
        return self.config.preset.evaluation.features if self.extractor == FEATURES else self.extractor


def reference_kind(data_set: str, extractor: str) -> str:
    """Returns the kind of the part with a set's features; the preset's extractor is not named in it."""
    return Reference.KIND.format(data_set) + ("" if extractor == FEATURES else f"-{extractor}")


def references(config: RunConfig, views: int, name: str) -> list[Reference]:
    """Returns the parts that an evaluation set's metrics need: one for extractors that are the same network."""
    names = compared_extractors(metrics_of(config.sweep.metrics_on(name)))
    kept = dict.fromkeys(kept_as(one, config.preset.evaluation) for one in names)
    return [Reference(config, views, name, extractor) for extractor in kept]
