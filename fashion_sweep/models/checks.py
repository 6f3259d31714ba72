"""Checks of a base model's settings before any weights are opened. Imports no torch."""

from importlib.util import find_spec

from fashion_sweep.config.data_source import Size
from fashion_sweep.config.model_config import ModelConfig
from fashion_sweep.errors import ConfigError
from fashion_sweep.models.attention import check_attention
from fashion_sweep.models.registry import architecture_of


def check_model(model: ModelConfig) -> None:
    """Checks that the base model can be trained and drawn with.

    Raises:
        ConfigError: a part of the model cannot be found, is something else, or learnt what cannot be trained or
            drawn; or attention is asked for that is not installed.
    """
    architecture_of(model).check(model)
    check_attention(model.attention)


def check_quantization() -> None:
    """Checks that weights can be rounded to few bits.

    Raises:
        ConfigError: bitsandbytes is not installed.
    """
    if find_spec("bitsandbytes") is None:
        raise ConfigError("quantization: needs bitsandbytes; install it with pip install 'fashion-sweep[quantization]'")


def check_size(model: ModelConfig, key: str, size: Size) -> None:
    """Checks that images of `size`, from the config's `key`, divide into latents.

    Raises:
        ConfigError: they do not.
    """
    divisor = architecture_of(model).size_divisor(model)
    if size.height % divisor or size.width % divisor:
        raise ConfigError(f"{key}: {size.height}x{size.width} pixels do not divide by the autoencoder's {divisor}")
