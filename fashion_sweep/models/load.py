"""The family of base models that a preset names. Each is imported when it is used."""

from fashion_sweep.config import ModelConfig
from fashion_sweep.errors import ConfigError, first_line
from fashion_sweep.models.family import Family


def default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_model(config: ModelConfig, device: str, with_refiner: bool = False) -> Family:
    """The base model of `config.family` with frozen weights, on `device`.

    Raises:
        ConfigError: its weights are not on this disk, and not to be had.
    """
    if config.family == "sdxl":
        from fashion_sweep.models.sdxl import SDXL

        try:
            return SDXL.load(config, device, with_refiner)
        except (OSError, ValueError) as error:
            which = f"model.base {config.base}" + (f" or model.refiner {config.refiner}" if with_refiner else "")
            raise ConfigError(
                f"{which} cannot be loaded; give weights that are on disk, for instance "
                f"--set model.base=/models/sd_xl_base_1.0.safetensors ({first_line(error)})"
            ) from error
    raise AssertionError(config.family)
