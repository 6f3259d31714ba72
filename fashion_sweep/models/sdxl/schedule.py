"""Reads off a model's scheduler config or single file how it was trained to remove noise. Loads no torch.

Settings that a model does not state are SDXL's, never diffusers' defaults, which are those of a model of pixels:
clipping to [-1, 1] spoils latents. Sources: `scheduler/scheduler_config.json` of stable-diffusion-xl-base-1.0; for
models of zero terminal SNR Lin et al. (2023), https://arxiv.org/abs/2305.08891, who begin drawing at the last timestep
("trailing").
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import safe_open

from fashion_sweep.errors import ConfigError
from fashion_sweep.models.sdxl.config import SDXLConfig
from fashion_sweep.models.sdxl.sources import SOURCES
from fashion_sweep.models.sources import is_file
from fashion_sweep.storage.files import read_json

CONFIG = Path("scheduler", "scheduler_config.json")
SDXL_SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "set_alpha_to_one": False,
}
"""The arguments of `DDIMScheduler` for SDXL."""
NEVER: dict[str, Any] = {"clip_sample": False, "thresholding": False}
"""The settings that no model of latents can want, whatever its config says."""
OF_DRAWING = {"timestep_spacing", "steps_offset", "set_alpha_to_one"}
"""The settings in which base and refiner may differ: the base's hold for both."""
KNOWN: dict[str, tuple[Callable[[Any], bool], str]] = {
    "num_train_timesteps": (lambda value: type(value) is int and value > 0, "a whole number above 0"),
    "beta_start": (lambda value: _is_share(value), "between 0 and 1"),
    "beta_end": (lambda value: _is_share(value), "between 0 and 1"),
    "beta_schedule": (lambda value: value in ("scaled_linear", "linear", "squaredcos_cap_v2"), "scaled_linear"),
    "trained_betas": (lambda value: value is None or _are_shares(value), "null, or a list of numbers from 0 to 1"),
    "prediction_type": (lambda value: value in ("epsilon", "v_prediction"), "epsilon or v_prediction"),
    "rescale_betas_zero_snr": (lambda value: isinstance(value, bool), "true or false"),
    "timestep_spacing": (lambda value: value in ("leading", "trailing", "linspace"), "leading or trailing"),
    "steps_offset": (lambda value: value in (0, 1), "0 or 1"),
    "set_alpha_to_one": (lambda value: isinstance(value, bool), "true or false"),
}
"""A test by key whether a value can be trained and drawn with, and the values that can, in words."""
DISCRETE = re.compile(
    r"(DD[IP]M(Parallel)?|PNDM|LMSDiscrete|Euler(Ancestral)?Discrete|HeunDiscrete|KDPM2(Ancestral)?Discrete|LCM|TCD|"
    r"DPMSolver(Multistep|Singlestep|SDE)|UniPCMultistep|DEISMultistep|SASolver)Scheduler"
)
"""The schedulers of the noise that `DDIMScheduler` knows, unlike EDM's and those of flow matching."""
MARKS: dict[str, dict[str, Any]] = {"v_pred": {"prediction_type": "v_prediction"}}
MARKS["ztsnr"] = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
"""The empty tensors by which a single file tells how it was trained."""
OTHER_MARKS = re.compile(r"edm_\w+(\.\w+)?")
PREDICTIONS = {"epsilon": {}, "v": {"prediction_type": "v_prediction"}}
"""The values of `modelspec.prediction_type`, which sd-scripts writes."""


def check_schedules(model: SDXLConfig) -> None:
    """Checks the schedules of base and refiner, as far as they are on this disk.

    Raises:
        ConfigError: a model learnt something that cannot be trained or drawn here, or the two learnt different things.
    """
    base = _local(model.base, "model.base")
    refiner = _local(model.refiner, "model.refiner") if model.refiner else None
    if base and refiner:
        check_alike(model, base, refiner)


def check_alike(model: SDXLConfig, base: Mapping[str, Any], refiner: Mapping[str, Any]) -> None:
    """Checks that the refiner can go on from the base's latents, at the base's timesteps.

    Raises:
        ConfigError: a timestep means different noise to the two.
    """
    for key in SDXL_SCHEDULE.keys() - OF_DRAWING:
        if base[key] != refiner[key]:
            raise ConfigError(
                f"model.refiner: {model.refiner} has {key} {refiner[key]}, where that of {model.base} is {base[key]}; "
                "set model.refiner=null"
            )


def schedule_of(name: str, key: str, load_config: Callable[[str], Any]) -> dict[str, Any]:
    """Returns all arguments for `DDIMScheduler`.

    Args:
        name: of the model, in the config's `key`.
        key: of the model's name.
        load_config: reads the scheduler's config of a folder or hub id.

    Raises:
        ConfigError: a value that cannot be trained or drawn with.
    """
    location = SOURCES.locate(name, key)
    if is_file(location):
        return _checked(read_json(SOURCES.packaged_configs(key) / CONFIG) | _said_in(location, key), name, key)
    return _checked(load_config(location), name, key)


def _local(name: str, key: str) -> dict[str, Any] | None:
    def read(location: str) -> Any:
        return read_json(Path(location) / CONFIG)

    location = SOURCES.locate(name, key)
    there = is_file(location) or (Path(location) / CONFIG).is_file()
    return schedule_of(name, key, read) if there else None


def _said_in(file: str, key: str) -> dict[str, Any]:
    with safe_open(file, "np") as opened:
        names, prediction = sorted(opened.keys()), (opened.metadata() or {}).get("modelspec.prediction_type", "epsilon")
    if other := next(filter(OTHER_MARKS.fullmatch, names), None):
        raise ConfigError(f"{key}: {file} is a model of EDM, by its tensor {other}, which cannot be trained or drawn")
    if prediction not in PREDICTIONS:
        raise ConfigError(f"{key}: {file} says modelspec.prediction_type {prediction!r}; it must be epsilon or v")
    settings = dict(PREDICTIONS[prediction])
    for mark in MARKS.keys() & set(names):
        settings |= MARKS[mark]
    return settings


def _checked(config: Any, name: str, key: str) -> dict[str, Any]:
    where = f"{key}: {name}, {CONFIG}"
    if not isinstance(config, dict):
        raise ConfigError(f"{where}: holds no settings of a scheduler")
    kind = config.get("_class_name", "EulerDiscreteScheduler")
    if not DISCRETE.fullmatch(str(kind)) or config.get("use_flow_sigmas"):
        raise ConfigError(f"{where}: has the noise of a {kind}, which cannot be trained or drawn; give another model")
    spacing = {"timestep_spacing": "trailing"} if config.get("rescale_betas_zero_snr") else {}
    settings = (
        SDXL_SCHEDULE | spacing | {setting: value for setting, value in config.items() if setting in SDXL_SCHEDULE}
    )
    for setting, value in settings.items():
        is_known, right = KNOWN[setting]
        if not is_known(value):
            raise ConfigError(f"{where}: has {setting} {str(value)[:80]!r}; it must be {right}")
    if settings["rescale_betas_zero_snr"] and settings["prediction_type"] == "epsilon":
        raise ConfigError(f"{where}: has zero terminal SNR, from where epsilon leads nowhere; it needs v_prediction")
    return settings | NEVER


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and 0 < value < 1


def _are_shares(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(map(_is_share, values))
