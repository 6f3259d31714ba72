"""What can be wrong with a base model, told before any weights are opened. Imports no torch."""

import json
from pathlib import Path

from fashion_sweep.config.data_source import Size
from fashion_sweep.config.preset import ModelConfig
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.attention import check_attention
from fashion_sweep.models.sdxl.schedule import check_schedules
from fashion_sweep.models.sources import locate


def check_model(model: ModelConfig) -> None:
    """Raises:
    ConfigError: a part of the model is nowhere, something else, or learnt what cannot be trained or drawn; or
        attention is asked for that is not installed.
    """
    for key, name in (("model.base", model.base), ("model.refiner", model.refiner), ("model.vae", model.vae)):
        if name is not None:
            locate(name, key)
    check_schedules(model)
    check_attention(model.attention)


def check_size(model: ModelConfig, key: str, size: Size) -> None:
    """Images must divide into latents; for a model that is not on this disk yet, SDXL's factor of 8."""
    folder = Path(locate(model.vae, "model.vae") if model.vae else locate(model.base, "model.base"))
    path = next((path for path in (folder / "vae" / "config.json", folder / "config.json") if path.is_file()), None)
    blocks = json.loads(path.read_text(encoding="utf-8"))["block_out_channels"] if path else range(4)
    factor = 2 ** (len(blocks) - 1)
    if size.height % factor or size.width % factor:
        raise ConfigError(f"{key}: {size.height}x{size.width} pixels do not divide by the autoencoder's {factor}")
