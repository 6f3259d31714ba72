"""Attributes right measures how much of what a caption names a generated figure shows, in the embedded world alone.

There the renderer knows what it painted, so that a small network could learn to read it: NOTES.md beside the embedded
weights states how often it is right.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.metrics.extractors import Extractor, Network, short_fingerprint
from fashion_sweep.metrics.metric import Estimate, ImageBatch, Margin, Metric, RealImages
from fashion_sweep.tiny import READER
from fashion_sweep.tiny.attributes import ATTRIBUTES, HEADS, named

if TYPE_CHECKING:
    import torch
    from torch import Tensor

READER_NAME = "attribute-reader"


class AttributeReader(Extractor):
    """The embedded network that tells what a figure wears, and whether it is whole."""

    def identity(self, evaluation: EvaluationConfig) -> str:
        return f"{READER_NAME} {short_fingerprint(str(READER))}"

    def dimension(self, evaluation: EvaluationConfig) -> int:
        return sum(HEADS.values())

    def load(self, evaluation: EvaluationConfig, device: "torch.device") -> Network:
        from fashion_sweep.tiny.reader import ReaderNetwork

        return ReaderNetwork(READER, device)


class SeenFigure(Metric):
    """A share, in percent, of what the reader is asked of figures; pictures whose captions name none are left out."""

    better, digits = "higher", 1
    extractors = (READER_NAME,)
    compares_features, rendered_only = False, True

    @abstractmethod
    def asked(self, logits: "Tensor", captions: list[dict[str, str]]) -> "Tensor":
        """Returns how many answers are right and how many were asked for: N,2 float32."""

    def per_image(self, batch: ImageBatch) -> "dict[str, Tensor]":
        return {self.name: self.asked(batch.features(READER_NAME), [named(caption) for caption in batch.captions])}

    def estimate(
        self, images: Mapping[str, np.ndarray], real: RealImages, evaluation: EvaluationConfig
    ) -> Estimate | None:
        right, asked = images[self.name].astype(np.float64).T
        if not asked.any():
            return None
        value = right.sum() / asked.sum()
        influence = 100 * (right - value * asked) / asked.mean()
        error = float(np.std(influence, ddof=1) / np.sqrt(len(right)))
        return Estimate(100 * float(value), influence, standard_error=error)


class AttributesRight(SeenFigure):
    """The share of the attributes named in captions (person, garment, sleeves, ...) that the figures show."""

    name, title, short = "attributes", "attributes right, %", "attr. %"
    margin = Margin(2.0)

    def asked(self, logits: "Tensor", captions: list[dict[str, str]]) -> "Tensor":
        import torch

        from fashion_sweep.tiny.reader import answers

        found = answers(logits)
        rows = [
            [sum(ATTRIBUTES[name][found[name][row]] == value for name, value in wanted.items()), len(wanted)]
            for row, wanted in enumerate(captions)
        ]
        return torch.tensor(rows, dtype=torch.float32)


class WholeFigures(SeenFigure):
    """The share of figures that have a head and two legs."""

    name, title, short = "whole_figures", "whole figures, %", "whole %"
    margin = Margin(2.0)

    def asked(self, logits: "Tensor", captions: list[dict[str, str]]) -> "Tensor":
        import torch

        from fashion_sweep.tiny.reader import answers

        figures = torch.tensor([bool(wanted) for wanted in captions])
        return torch.stack([answers(logits)["whole"].bool() & figures, figures], dim=1).float()


ATTRIBUTE_READER = AttributeReader()
ATTRIBUTES_RIGHT, WHOLE_FIGURES = AttributesRight(), WholeFigures()
