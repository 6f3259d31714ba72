"""The family of base models that a preset names. Each is imported when it is used."""

from fashion_sweep.config import ModelConfig
from fashion_sweep.models.family import Family


def default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_model(config: ModelConfig, device: str, with_refiner: bool = False) -> Family:
    """The base model of `config.family` with frozen weights, on `device`."""
    if config.family == "sdxl":
        from fashion_sweep.models.sdxl import SDXL

        return SDXL.load(config, device, with_refiner)
    raise AssertionError(config.family)
