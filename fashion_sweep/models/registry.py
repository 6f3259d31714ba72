"""Finds the architecture of a preset's base model, and loads the model. Imports no torch before it is used."""

from typing import TYPE_CHECKING

from fashion_sweep.config.model_config import ModelConfig
from fashion_sweep.doors import ARCHITECTURES
from fashion_sweep.models.architecture import Architecture

if TYPE_CHECKING:
    from fashion_sweep.models.model import Model


def default_device() -> str:
    """Returns `cuda` where there is such a device, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def architecture_of(model: ModelConfig) -> Architecture:
    """Returns the architecture of the base model that `model` describes."""
    architecture: Architecture = ARCHITECTURES[model.architecture]
    return architecture


def load_model(config: ModelConfig, device: str, for_pictures: bool = False) -> "Model":
    """Loads the base model with frozen weights on `device`; `for_pictures`: with all that drawing takes.

    Raises:
        ConfigError: its weights are neither on this disk nor available elsewhere.
    """
    architecture = architecture_of(config)
    model = architecture.load(config, device, for_pictures)
    if config.quantization:
        from fashion_sweep.models.quantization import quantize

        for name in set(architecture.components) - set(architecture.text_components):
            quantize(model.components[name], config.quantization, device)
    return model
