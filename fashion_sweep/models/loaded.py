"""The models of a worker: loaded when they are asked for, and kept or not from one trial to the next."""

import gc
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from fashion_sweep.config.model_config import ModelConfig
from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.metrics.extractors import identity_of
from fashion_sweep.metrics.judge import Judge, load_network
from fashion_sweep.metrics.metric import Metric
from fashion_sweep.models.model import Model
from fashion_sweep.models.registry import load_model


class Loaded:
    """Loads a model each time: for one trial, which has the memory for itself."""

    def model(self, config: ModelConfig, device: str, for_pictures: bool = False) -> Model:
        """Returns the base model as `models.registry.load_model` does, as good as new."""
        return load_model(config, device, for_pictures)

    def network(self, name: str, evaluation: EvaluationConfig, device: str | torch.device) -> Any:
        """Returns the network of the extractor of that name, a `metrics.extractors.Network`."""
        return load_network(name, evaluation, device)

    def judge(self, evaluation: EvaluationConfig, metrics: Sequence[Metric], device: str) -> Judge:
        """Returns what runs the networks that the metrics need."""
        return Judge(evaluation, metrics, device, self.network)

    def release(self) -> None:
        """Frees the memory of what is used no longer."""
        gc.collect()
        torch.cuda.empty_cache()


@dataclass
class Kept(Loaded):
    """Loads one model with all that drawing takes, and gives it to training and drawing of one trial after another."""

    _models: dict[Any, Model] = field(default_factory=dict)
    _networks: dict[Any, Any] = field(default_factory=dict)

    def model(self, config: ModelConfig, device: str, for_pictures: bool = False) -> Model:
        """Returns the model that there is, which whoever used it has left as it was."""
        if config not in self._models:
            self._models.clear()
            self._models[config] = load_model(config, device, for_pictures=True)
        return self._models[config]

    def network(self, name: str, evaluation: EvaluationConfig, device: str | torch.device) -> Any:
        """Returns the network that there is."""
        key = identity_of(name, evaluation), str(device)
        if key not in self._networks:
            self._networks[key] = super().network(name, evaluation, device)
        return self._networks[key]


@cache
def kept_models() -> Kept:
    """Returns the models of this process."""
    return Kept()


def forget_models() -> None:
    """Frees the models that this process keeps."""
    kept_models.cache_clear()
    gc.collect()
