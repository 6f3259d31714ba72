"""Feature extractors by name, with their networks and the widths of their features. Imports no torch."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from fashion_sweep.config.model_config import RANDOM
from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.doors import EXTRACTORS
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.sources import EMBEDDED, fingerprint, locate

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FEATURES = "features"
"""The name that stands for the extractor of the preset."""
CLIP = "open_clip"
"""The extractor that CLIP score and metrics on CLIP embeddings need."""
Value = TypeVar("Value")


class Network(Protocol):
    """A loaded feature extractor."""

    model: Any
    """The torch module of the network."""

    def image_features(self, images: "Tensor") -> "Tensor":
        """Computes the features of images: uint8 N,3,H,W → N,d float32."""


class Extractor(ABC):
    """A network that turns images into features. A new one is a subclass and a line in `doors.EXTRACTORS`."""

    @abstractmethod
    def identity(self, evaluation: EvaluationConfig) -> str:
        """Returns a name of the network and its weights; extractors for which it is equal are one and the same.

        Features of real images are kept under it: other weights need another name.
        """

    @abstractmethod
    def dimension(self, evaluation: EvaluationConfig) -> int:
        """Returns the number of features of an image, without loading weights."""

    def operations(self, evaluation: EvaluationConfig) -> float:
        """Returns the floating-point operations for one image, for forecasts; 0 where they hardly count."""
        return 0.0

    @abstractmethod
    def load(self, evaluation: EvaluationConfig, device: "torch.device") -> Network:
        """Loads the network with its weights."""

    def check(self, evaluation: EvaluationConfig) -> None:  # noqa: B027
        """Checks that the settings fit the extractor.

        Raises:
            ConfigError: they do not.
        """


class OpenClip(Extractor):
    """The CLIP of `evaluation.clip_model` as a feature extractor."""

    def identity(self, evaluation: EvaluationConfig) -> str:
        name = evaluation.clip_model
        if name.startswith(EMBEDDED):
            return f"{name} {short_fingerprint(locate(name, 'evaluation.clip_model'))}"
        return f"{name} {evaluation.clip_pretrained}"

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
        """Returns the operations of ViT-L/14 on an image and its caption; the embedded CLIP is a thousandth of that."""
        return 0.0 if evaluation.clip_model.startswith(EMBEDDED) else 175e9

    def load(self, evaluation: EvaluationConfig, device: "torch.device") -> Network:
        from fashion_sweep.metrics.networks import Clip

        return Clip(evaluation.clip_model, evaluation.clip_pretrained, device)


class TinyClip(OpenClip):
    """The embedded CLIP as a feature extractor: its features are few enough for a FID of few images."""

    def check(self, evaluation: EvaluationConfig) -> None:
        if not evaluation.clip_model.startswith(EMBEDDED):
            raise ConfigError("evaluation.features: 'tiny-clip' needs evaluation.clip_model=embedded:clip")


class InceptionV3(Extractor):
    """The network of the original FID, with its published weights or with random ones."""

    def __init__(self, random: bool) -> None:
        self.random = random

    def identity(self, evaluation: EvaluationConfig) -> str:
        return f"inception-v3{', random' * self.random}"

    def dimension(self, evaluation: EvaluationConfig) -> int:
        return 2048

    def operations(self, evaluation: EvaluationConfig) -> float:
        return 11.4e9

    def load(self, evaluation: EvaluationConfig, device: "torch.device") -> Network:
        from fashion_sweep.metrics.networks import Inception

        return Inception(device, self.random)


@cache
def short_fingerprint(folder: str) -> str:
    """Returns what tells a network's weights from others, of a folder that does not change while a process runs."""
    return fingerprint(folder)[:8]


def extractor(name: str, evaluation: EvaluationConfig) -> Extractor:
    """Returns the extractor of that name, where `features` is the preset's."""
    chosen: Extractor = EXTRACTORS[evaluation.features if name == FEATURES else name]
    return chosen


def identity_of(name: str, evaluation: EvaluationConfig) -> str:
    return extractor(name, evaluation).identity(evaluation)


def dimension_of(name: str, evaluation: EvaluationConfig) -> int:
    return extractor(name, evaluation).dimension(evaluation)


def operations_of(name: str, evaluation: EvaluationConfig) -> float:
    return extractor(name, evaluation).operations(evaluation)


def kept_as(name: str, evaluation: EvaluationConfig) -> str:
    """Returns the name under which features are kept: the same for extractors that are the same network."""
    return FEATURES if identity_of(name, evaluation) == identity_of(FEATURES, evaluation) else name


def by_extractor(kept: Mapping[str, Value], names: Iterable[str], evaluation: EvaluationConfig) -> dict[str, Value]:
    """Returns what was kept, also under the names of the extractors that made it."""
    return dict(kept) | {name: kept[kept_as(name, evaluation)] for name in names}


OPEN_CLIP, TINY_CLIP = OpenClip(), TinyClip()
INCEPTION_V3, RANDOM_INCEPTION_V3 = InceptionV3(random=False), InceptionV3(random=True)
