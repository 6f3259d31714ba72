"""Checks the settings in adapter files' metadata, which diffusers and peft hand to peft's `LoraConfig`."""

import json
import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from fashion_sweep.config.search_space import LARGEST_RANK
from fashion_sweep.doors import ADAPTER_KINDS
from fashion_sweep.errors import ConfigError

TAKEN = {"r", "lora_alpha", "rank_pattern", "alpha_pattern", "target_modules", "use_rslora", "init_lora_weights"}
TAKEN |= {"base_model_name_or_path", "peft_type", "peft_version", "inference_mode", "lora_dropout"}
"""The settings that any file may have. How weights were initialised does not matter to a trained adapter."""
PATTERN = re.compile(r"\^?[\w.]+")


def peft_settings(text: str, parts: Collection[str]) -> dict[str, dict[str, Any]]:
    """Returns the settings by component, none of which asks for more than a reader may be asked for.

    Args:
        text: JSON, keys with a component's name before a dot.
        parts: of layers, that the file holds: a kind's own settings are allowed where all of its parts are there.

    Raises:
        ConfigError: they are no settings, or ask for a pattern in place of names, a huge rank or something else.
    """
    from peft import LoraConfig

    try:
        values = dict(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        raise ConfigError("its lora_adapter_metadata is no JSON object") from None
    usual, taken = LoraConfig().to_dict(), TAKEN
    for kind in (ADAPTER_KINDS[name] for name in ADAPTER_KINDS.names):
        if kind.lacks(set(parts)) is None:
            taken = taken | set(kind.settings)
    settings: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        component, _, name = key.rpartition(".")
        if reason := _strange(key, name, value):
            raise ConfigError(reason)
        if name not in taken and value and value != usual.get(name):
            raise ConfigError(f"it asks for {key}")
        settings.setdefault(component, {})[name] = value
    return {component: {"lora_alpha": usual["lora_alpha"], **stated} for component, stated in settings.items()}


def usual_alpha(settings: Mapping[str, Any]) -> float | None:
    """Returns the alpha that layers have which `alpha_pattern` does not name."""
    alpha: float | None = settings.get("alpha", settings.get("lora_alpha"))
    return alpha


def scaling_of(layer: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the alpha and rank that peft takes for a layer by a file's settings, as fields of `LayerTensors`."""
    return {
        "alpha": _for_layer(layer, settings.get("alpha_pattern"), usual_alpha(settings)),
        "rank": _for_layer(layer, settings.get("rank_pattern"), settings.get("r")),
        "rank_stabilized": bool(settings.get("use_rslora")),
    }


def _for_layer(layer: str, patterns: Mapping[str, Any] | None, usual: Any) -> Any:
    matching = (value for key, value in (patterns or {}).items() if re.match(rf"(.*\.)?({key})$", layer))
    return next(matching, usual)


def _strange(key: str, name: str, value: Any) -> str | None:
    """Returns why the value is not allowed for the setting `name`; None where it is."""
    ranks = value.values() if name == "rank_pattern" and isinstance(value, dict) else [value]
    if name in {"r", "rank_pattern"} and not all(type(rank) is int and 0 < rank <= LARGEST_RANK for rank in ranks):
        return f"{key} is {str(value)[:80]}, no rank"
    if name in {"rank_pattern", "alpha_pattern"} and not all(map(PATTERN.fullmatch, value)):
        return f"{key} holds a pattern in place of names"
    alphas = value.values() if name == "alpha_pattern" and isinstance(value, dict) else [value]
    if name in {"alpha", "lora_alpha", "alpha_pattern"} and not all(map(_is_number, alphas)):
        return f"{key} is {str(value)[:80]}, no number"
    if name == "target_modules" and not isinstance(value, list):
        return f"{key} is no list of names"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
