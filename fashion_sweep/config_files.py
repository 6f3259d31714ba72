"""Reads presets, sweeps and `--set` into a `RunConfig`; every mistake becomes one line with its remedy.

`--set key=value` wins over what the files say.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from fashion_sweep.config import Preset, RunConfig, Sweep
from fashion_sweep.errors import ConfigError, did_you_mean

PRESETS = Path(__file__).parent / "presets"
SWEEPS = Path(__file__).parent.parent / "sweeps"
DEFAULT_PRESET = "tiny"

Model = TypeVar("Model", bound=BaseModel)


def load_run_config(sweep: str, preset: str | None = None, settings: Sequence[str] = ()) -> RunConfig:
    """The configuration of `run SWEEP --preset PRESET --set key=value …`.

    Args:
        sweep: a name in `sweeps/` or the path of a YAML file.
        preset: a name in `presets/` or the path of a YAML file; default `$FASHION_SWEEP_PRESET`, else `tiny`.
        settings: `dotted.key=value` strings; keys as in the preset, or `sweep.…` for the sweep's.

    Raises:
        ConfigError: a name, key or value does not fit.
    """
    preset_path = _locate(preset or os.environ.get("FASHION_SWEEP_PRESET") or DEFAULT_PRESET, PRESETS, "preset")
    sweep_path = _locate(sweep, SWEEPS, "sweep")
    preset_values = {"name": preset_path.stem, **_read_yaml(preset_path)}
    sweep_values = {"name": sweep_path.stem, **_read_yaml(sweep_path)}
    for setting in settings:
        key, separator, text = setting.partition("=")
        if not separator or not key:
            raise ConfigError(f"--set {setting!r}: write it as key=value, for instance training.steps=100")
        in_sweep = key.startswith("sweep.")
        target = sweep_values if in_sweep else preset_values
        _set(target, key.removeprefix("sweep.").split("."), _parse_value(setting, text), key)
    preset_model = _validate(Preset, preset_values, preset_path)
    return RunConfig(preset=preset_model, sweep=_validate(Sweep, sweep_values, sweep_path))


def read_run_config(path: Path) -> RunConfig:
    """The resolved configuration that a run folder holds."""
    return _validate(RunConfig, _read_yaml(path), path)


def _locate(name: str, folder: Path, kind: str) -> Path:
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        if path.is_file():
            return path
        raise ConfigError(f"{kind} file {name} does not exist")
    known = [file.stem for file in folder.glob("*.yaml")]
    if name not in known:
        raise ConfigError(f"unknown {kind} {name!r}{did_you_mean(name, known)}")
    return folder / f"{name}.yaml"


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must hold a mapping of keys to values")
    return values


def _parse_value(setting: str, text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {setting!r}: the value is not valid YAML") from error
    if isinstance(value, str):  # YAML 1.1 reads 1e-4 as text
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _set(values: dict[str, Any], path: list[str], value: Any, key: str) -> None:
    for part in path[:-1]:
        inner = values.get(part)
        if not isinstance(inner, Mapping):
            raise ConfigError(f"unknown key {key!r}{did_you_mean(part, values)}")
        values[part] = dict(inner)
        values = values[part]
    values[path[-1]] = value


def _validate(model: type[Model], values: dict[str, Any], path: Path) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{path.name}: " + "; ".join(_explain(model, detail) for detail in error.errors())) from error


def _explain(model: type[BaseModel], error: Any) -> str:
    location = [str(part) for part in error["loc"]]
    key = ".".join(location) or "the file"
    if error["type"] == "extra_forbidden":
        return f"unknown key {key!r}{did_you_mean(location[-1], _fields_at(model, location[:-1]))}"
    if error["type"] == "missing":
        return f"{key} is missing"
    message = error["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(error["input"], dict | list) else f" (not {error['input']!r})"
    return f"{key}: {message[0].lower()}{message[1:]}{shown}"


def _fields_at(model: type[BaseModel], location: list[str]) -> list[str]:
    """Names of the fields that the mapping at `location` may hold."""
    for part in location:
        field = model.model_fields.get(part)
        inner = [t for t in (field.annotation, *get_args(field.annotation)) if _is_model(t)] if field else []
        if not inner:
            return []
        model = inner[0]
    return list(model.model_fields)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
