"""The family of base models that a preset names. Each is imported when it is used."""

from pathlib import Path

from fashion_sweep.config.preset import ModelConfig
from fashion_sweep.errors import ConfigError, first_line
from fashion_sweep.models.model import Model
from fashion_sweep.models.sources import locate

FILES = {
    "model.base": "/models/sd_xl_base_1.0.safetensors",
    "model.refiner": "/models/sd_xl_refiner_1.0.safetensors",
    "model.vae": "/models/sdxl_vae.safetensors",
}
"""For example."""


def default_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def load_model(config: ModelConfig, device: str, with_refiner: bool = False) -> Model:
    """The base model of `config.family` with frozen weights, on `device`.

    Raises:
        ConfigError: its weights are not on this disk, and not to be had.
    """
    if config.family == "sdxl":
        from fashion_sweep.models.sdxl.model import SDXL

        try:
            return SDXL.load(config, device, with_refiner)
        except (OSError, ValueError) as error:
            names = {key: name for key, name in _names(config, with_refiner).items() if name}
            which = " or ".join(f"{key} {name}" for key, name in names.items())
            away = [key for key, name in names.items() if not Path(locate(name, key)).exists()]
            remedy = f"give weights that are on disk, for instance --set {away[0]}={FILES[away[0]]}" if away else ""
            raise ConfigError(f"{which} cannot be loaded{remedy and f'; {remedy}'} ({first_line(error)})") from error
    raise AssertionError(config.family)


def _names(config: ModelConfig, with_refiner: bool) -> dict[str, str | None]:
    """By key, of all that is loaded."""
    refiner = config.refiner if with_refiner else None
    return {"model.base": config.base, "model.refiner": refiner, "model.vae": config.vae}
