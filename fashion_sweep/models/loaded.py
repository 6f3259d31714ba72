"""The models of a worker: loaded when they are asked for, and kept or not from one trial to the next."""

import gc
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from fashion_sweep.config.model_config import ModelConfig
from fashion_sweep.models.model import Model
from fashion_sweep.models.registry import load_model


class Loaded:
    """Loads a model each time: for one trial, which has the memory for itself."""

    def model(self, config: ModelConfig, device: str, for_pictures: bool = False) -> Model:
        """Returns the base model as `models.registry.load_model` does, as good as new."""
        return load_model(config, device, for_pictures)

    def release(self) -> None:
        """Frees the memory of what is used no longer."""
        gc.collect()
        torch.cuda.empty_cache()


@dataclass
class Kept(Loaded):
    """Loads one model with all that drawing takes, and gives it to training and drawing of one trial after another."""

    _models: dict[Any, Model] = field(default_factory=dict)

    def model(self, config: ModelConfig, device: str, for_pictures: bool = False) -> Model:
        """Returns the model that there is, which whoever used it has left as it was."""
        if config not in self._models:
            self._models.clear()
            self._models[config] = load_model(config, device, for_pictures=True)
        return self._models[config]


@cache
def kept_models() -> Kept:
    """Returns the models of this process."""
    return Kept()
