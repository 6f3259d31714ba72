"""Runs the networks of a sweep's metrics on batches of images."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.metrics.extractors import extractor, identity_of, kept_as
from fashion_sweep.metrics.metric import Metric
from fashion_sweep.metrics.networks import Clip
from fashion_sweep.models.precision import tf32

Load: TypeAlias = Callable[[str, EvaluationConfig, str | torch.device], Any]
"""The type of a function that returns the network of the extractor of that name."""


def load_network(name: str, evaluation: EvaluationConfig, device: str | torch.device) -> Any:
    """Loads the network of the extractor of that name, a `metrics.extractors.Network`."""
    return extractor(name, evaluation).load(evaluation, torch.device(device))


class Judge:
    """The networks that `metrics` need, each loaded once."""

    def __init__(
        self,
        evaluation: EvaluationConfig,
        metrics: Sequence[Metric],
        device: str | torch.device,
        load: Load = load_network,
    ) -> None:
        self.evaluation, self.metrics = evaluation, metrics
        needed = {identity_of(name, evaluation): name for metric in metrics for name in metric.extractors}
        self.networks = {network: load(name, evaluation, device) for network, name in needed.items()}
        comparing = [metric for metric in metrics if metric.compares_features]
        self.compared = {identity_of(name, evaluation) for metric in comparing for name in metric.extractors}

    @property
    def modules(self) -> list[nn.Module]:
        return [network.model for network in self.networks.values()]

    def features(self, images: Tensor, name: str) -> Tensor:
        """Computes features by the extractor of that name: uint8 N,3,H,W → N,d float32."""
        network = identity_of(name, self.evaluation)
        # TF32 moves FID; a CLIP that only scores captions computes as torch has it by default
        with tf32(False) if network in self.compared else nullcontext():
            return self.networks[network].image_features(images)

    def per_image(self, images: Tensor, captions: Sequence[str]) -> dict[str, Tensor]:
        """Computes what the metrics keep of each image, uint8 N,3,H,W, by name: rows of float32."""
        batch, kept = SeenBatch(self, images, captions), dict[str, Tensor]()
        for metric in self.metrics:
            kept |= metric.per_image(batch)
        return kept


class SeenBatch:
    """A batch of images with their captions, which goes through each network once; as `metric.ImageBatch`."""

    def __init__(self, judge: Judge, images: Tensor, captions: Sequence[str]) -> None:
        self._judge, self._images, self.captions = judge, images, captions
        self._features: dict[str, Tensor] = {}

    def features(self, name: str) -> Tensor:
        """Returns the features N,d float32 by the extractor of that name."""
        network = identity_of(name, self._judge.evaluation)
        if network not in self._features:
            self._features[network] = self._judge.features(self._images, name)
        return self._features[network]

    def kept(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Returns the features by these extractors, under the names by which they are kept."""
        return {kept_as(name, self._judge.evaluation): self.features(name) for name in names}

    def caption_features(self, name: str) -> Tensor:
        """Returns the captions' features N,d float32, by an extractor that is a CLIP."""
        clip = self._judge.networks[identity_of(name, self._judge.evaluation)]
        assert isinstance(clip, Clip)
        return clip.text_features(self.captions)
