"""The interface of the parts of the shared cache. Imports no torch."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from fashion_sweep.config.data_source import Size
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.models.architecture import Architecture, Fingerprints, Operations
from fashion_sweep.models.registry import architecture_of
from fashion_sweep.planning.gpu import ASSUMED, Gpu


@dataclass(frozen=True)
class CachePart(ABC):
    config: RunConfig
    views: int
    """The number of views that are kept of each image trained on."""
    data_set: str
    KIND: ClassVar[str]
    TITLE: ClassVar[str]
    MADE_BY: ClassVar[Literal["model", "pipelines", "judge"]] = "model"
    """The maker of the rows: the base model, the base model with all that drawing takes, or the feature extractors."""
    FOR_TRAINING: ClassVar[bool] = False
    ENCODER: ClassVar[str]
    """The function that makes rows, as `module:function`, which needs torch. It gets what `MADE_BY` names, the part,
    the catalogue, a slice of rows and `alive`, and returns what is kept by name, with one entry per row."""

    @property
    def kind(self) -> str:
        """The part's name in folders and files."""
        return self.KIND.format(self.data_set)

    @property
    def title(self) -> str:
        return self.TITLE.format(self.data_set)

    def is_needed(self, specs: Collection[TrialSpec]) -> bool:
        """Tells whether trials of `specs` use the part, if all of them are trained."""
        return any(not spec.is_base_model for spec in specs)

    def rows(self, images: int, captions: int) -> int:
        """Returns the number of rows for a data set with so many images and distinct captions."""
        return images

    @abstractmethod
    def key(self, catalogue: Catalogue, model: Fingerprints) -> dict[str, Any]:
        """Returns everything that the part's content depends on."""

    @property
    @abstractmethod
    def row_bytes(self) -> int:
        """The bytes of one row, as `prepare.py` writes it."""

    @property
    def rate_key(self) -> str:
        """The key of measured rates: what the cost of a row depends on, besides the hardware."""
        return f"{self.kind} {self.config.preset.model.base} {self.config.preset.model.dtype}"

    @property
    def assumed_rate(self) -> float | None:
        """The rows per second on an A100-class GPU; None for models whose work is not known without counting."""
        work = self.architecture.typical_operations(self.config.preset.model, self.size)
        return None if work is None else 1 / self.seconds(work, ASSUMED)

    @property
    def architecture(self) -> Architecture:
        return architecture_of(self.config.preset.model)

    @abstractmethod
    def seconds(self, work: Operations, gpu: Gpu) -> float:
        """Estimates the seconds of a row from the base model's `work` on one sample of this part's size."""

    @property
    def _view_bytes(self) -> int:
        return self.architecture.view_bytes(self.config.preset.model, self.size)

    @property
    def _caption_bytes(self) -> int:
        return self.architecture.caption_bytes(self.config.preset.model)

    @property
    def size(self) -> Size:
        return self.config.preset.picture_size(self.data_set)


def identity(records: Sequence[Record]) -> list[Any]:
    return [record.identity for record in records]
