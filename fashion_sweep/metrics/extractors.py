"""Feature extractors by name: which network each is, and how wide its features are. Imports no torch."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fashion_sweep.config.model_config import RANDOM
from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.doors import EXTRACTORS
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.sources import EMBEDDED, locate

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FEATURES = "features"
"""Stands for the extractor that the preset names."""
CLIP = "open_clip"
"""The extractor that CLIP score and metrics on CLIP embeddings need."""
Value = TypeVar("Value")


class Network(Protocol):
    """A loaded extractor."""

    model: Any
    """A torch module."""

    def image_features(self, images: "Tensor") -> "Tensor":
        """uint8 N,3,H,W → N,d float32."""


class Extractor(ABC):
    """A network that turns images into features. A new one is a subclass and a line in `doors.EXTRACTORS`."""

    @abstractmethod
    def network(self, evaluation: EvaluationConfig) -> str:
        """What the network is; extractors of which this is equal are one and the same."""

    @abstractmethod
    def dimension(self, evaluation: EvaluationConfig) -> int:
        """How many features an image has, without loading weights."""

    def operations(self, evaluation: EvaluationConfig) -> float:
        """Floating-point operations for one image, for forecasts; 0 where they hardly count."""
        return 0.0

    @abstractmethod
    def load(self, evaluation: EvaluationConfig, device: "torch.device") -> Network:
        """The network with its weights."""

    def check(self, evaluation: EvaluationConfig) -> None:  # noqa: B027
        """Raises:
        ConfigError: the settings do not fit it.
        """


class OpenClip(Extractor):
    """The CLIP of `evaluation.clip_model`."""

    def network(self, evaluation: EvaluationConfig) -> str:
        return f"{evaluation.clip_model} {evaluation.clip_pretrained}"

    def dimension(self, evaluation: EvaluationConfig) -> int:
        name = evaluation.clip_model
        if name.startswith(EMBEDDED):
            path = Path(locate(name, "evaluation.clip_model")) / "open_clip_config.json"
            return int(json.loads(path.read_text(encoding="utf-8"))["model_cfg"]["embed_dim"])
        package = find_spec("open_clip")  # which would import torch
        assert package is not None
        assert package.origin is not None
        path = Path(package.origin).parent / "model_configs" / f"{name.removeprefix(RANDOM)}.json"
        if not path.is_file():
            raise ConfigError(f"evaluation.clip_model: open_clip has no model {name!r}")
        return int(json.loads(path.read_text(encoding="utf-8"))["embed_dim"])

    def operations(self, evaluation: EvaluationConfig) -> float:
        """Of ViT-L/14 on an image and its caption; the embedded CLIP is a thousandth of that."""
        return 0.0 if evaluation.clip_model.startswith(EMBEDDED) else 175e9

    def load(self, evaluation: EvaluationConfig, device: "torch.device") -> Network:
        from fashion_sweep.metrics.networks import Clip

        return Clip(evaluation.clip_model, evaluation.clip_pretrained, device)


class TinyClip(OpenClip):
    """The same where it is the embedded one, whose features are few enough for a FID of few images."""

    def check(self, evaluation: EvaluationConfig) -> None:
        if not evaluation.clip_model.startswith(EMBEDDED):
            raise ConfigError("evaluation.features: 'tiny-clip' needs evaluation.clip_model=embedded:clip")


class InceptionV3(Extractor):
    """The network of the original FID, with its published weights or with random ones."""

    def __init__(self, random: bool) -> None:
        self.random = random

    def network(self, evaluation: EvaluationConfig) -> str:
        return f"inception-v3{', random' * self.random}"

    def dimension(self, evaluation: EvaluationConfig) -> int:
        return 2048

    def operations(self, evaluation: EvaluationConfig) -> float:
        return 11.4e9

    def load(self, evaluation: EvaluationConfig, device: "torch.device") -> Network:
        from fashion_sweep.metrics.networks import Inception

        return Inception(device, self.random)


def extractor(name: str, evaluation: EvaluationConfig) -> Extractor:
    """The extractor of that name, `features` being the preset's."""
    found: Extractor = EXTRACTORS[evaluation.features if name == FEATURES else name]
    return found


def network_of(name: str, evaluation: EvaluationConfig) -> str:
    return extractor(name, evaluation).network(evaluation)


def dimension_of(name: str, evaluation: EvaluationConfig) -> int:
    return extractor(name, evaluation).dimension(evaluation)


def operations_of(name: str, evaluation: EvaluationConfig) -> float:
    return extractor(name, evaluation).operations(evaluation)


def kept_as(name: str, evaluation: EvaluationConfig) -> str:
    """The name under which features are kept: one for extractors that are the same network."""
    return FEATURES if network_of(name, evaluation) == network_of(FEATURES, evaluation) else name


def by_extractor(kept: Mapping[str, Value], names: Iterable[str], evaluation: EvaluationConfig) -> dict[str, Value]:
    """What was kept, also under the names of the extractors that it is of."""
    return dict(kept) | {name: kept[kept_as(name, evaluation)] for name in names}


OPEN_CLIP, TINY_CLIP = OpenClip(), TinyClip()
INCEPTION_V3, RANDOM_INCEPTION_V3 = InceptionV3(random=False), InceptionV3(random=True)
