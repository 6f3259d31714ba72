"""Reads presets, sweeps and `--set` into a `RunConfig`; every mistake becomes one line with its remedy.

`--set key=value` wins over what the files say.
"""

import difflib
import re
import types
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from fashion_sweep.config.denoiser import with_own_name
from fashion_sweep.config.model_config import architectures_with
from fashion_sweep.config.named_files import locate_preset, locate_sweep, read_preset, read_sweep
from fashion_sweep.config.preset import Preset, RunConfig
from fashion_sweep.config.safe_yaml import check_no_password, parse, read_yaml
from fashion_sweep.config.settable import SET, may_be_set, options_of, settable, settable_name
from fashion_sweep.config.sweep import Sweep
from fashion_sweep.doors import METRICS
from fashion_sweep.errors import CONTROL, ConfigError, did_you_mean

TYPE_IN_UNION = re.compile(r"bool|int|float|str|none|constrained-\w+|literal\[.*\]")
"""What pydantic adds to the place of a mistake, for each type of a union."""
Model = TypeVar("Model", bound=BaseModel)


def load_run_config(sweep: str, preset: str | None = None, settings: Sequence[str] = ()) -> RunConfig:
    """Reads the configuration of `run SWEEP --preset PRESET --set key=value …`.

    Args:
        sweep: a name in `sweeps/` or the path of a YAML file.
        preset: a name in `presets/` or the path of a YAML file; default `$FASHION_SWEEP_PRESET`, else `tiny`.
        settings: `dotted.key=value` strings; keys as in the preset, or `sweep.…` for the sweep's.

    Raises:
        ConfigError: a name, key or value does not fit.
    """
    preset_path, sweep_path = locate_preset(preset), locate_sweep(sweep)
    preset_values, names = read_preset(preset_path)
    sweep_values = read_sweep(sweep_path, names)
    set_keys: set[str] = set()
    for setting in settings:
        key, value = _read_setting(setting)
        target = sweep_values if key.startswith("sweep.") else preset_values
        _set(target, key.removeprefix("sweep.").split("."), value, key)
        set_keys.add(key)
    if "garments" in sweep_values or sweep_values.get("task") == "garment":
        raise ConfigError(f"{sweep_path.name}: garments are no part of a sweep file; garment train takes their photos")
    chosen = _validate(Preset, preset_values, preset_path, set_keys)
    if sweep_values.get("judge") is None:
        sweep_values["judge"] = [chosen.training_set]
    named = with_own_name(sweep_values, chosen.model.architecture)
    judged = _validate(Sweep, named, sweep_path, set_keys, "sweep.")
    if sweep_values.get("show") is None:
        own = {name: _shown_of(chosen, name, set_keys) for name in judged.judge if name in chosen.data}
        judged = judged.model_copy(
            update={"show": {name: [*one, *own.get(name, [])] for name, one in judged.show.items()}}
        )
    return _validate(RunConfig, {"preset": chosen, "sweep": judged}, sweep_path, set_keys)


def _shown_of(preset: Preset, data_set: str, set_keys: Collection[str]) -> list[str]:
    """Returns what a preset shows of a data set: of photographs, nothing that only rendered pictures have, unless it
    was asked for."""
    source = preset.data[data_set]
    fits = source.is_rendered or f"data.{data_set}.show" in set_keys
    return [name for name in source.show if fits or not METRICS[name].rendered_only]


def load_preset(
    name: str | None = None, settings: Sequence[str] = (), values: Mapping[str, Any] | None = None
) -> Preset:
    """Reads a preset, as `load_run_config` does with a sweep; `values` by dotted key are set as they are.

    Raises:
        ConfigError: a name, key or value does not fit.
    """
    path = locate_preset(name)
    new_values = dict(map(_read_setting, settings)) | dict(values or {})
    return _changed(read_preset(path)[0], new_values, path)


def change_preset(preset: Preset, settings: Sequence[str]) -> Preset:
    """Returns the preset with what `settings` replace in it.

    Raises:
        ConfigError: a key or value does not fit.
    """
    return _changed(preset.model_dump(mode="json"), dict(map(_read_setting, settings)), Path(preset.name))


def _changed(values: dict[str, Any], new_values: Mapping[str, Any], path: Path) -> Preset:
    for key, value in new_values.items():
        if key.startswith("sweep."):
            raise ConfigError(f"--set {key}: there is no sweep here, only a preset")
        _set(values, key.split("."), value, key)
    return _validate(Preset, values, path, new_values)


def read_run_config(path: Path) -> RunConfig:
    """Reads the resolved configuration that a run folder holds."""
    try:
        return _validate(RunConfig, read_yaml(path), path)
    except ConfigError as error:
        asked = "was the run begun by another version, or with a package that is gone?"
        raise ConfigError(f"{error} ({path}: {asked})") from error


def _read_setting(setting: str) -> tuple[str, Any]:
    key, separator, text = setting.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set {setting!r}: write it as key=value, for instance training.steps=100")
    if key == "like":
        raise ConfigError(f"--set {key}: belongs into a preset's file; --preset {text} chooses that preset")
    if not text.strip():  # a variable of the shell that is not set, as a rule
        raise ConfigError(f"--set {key}: is empty; write {key}=null where nothing is meant")
    return key, _read_value(key, text)


def _read_value(key: str, text: str) -> Any:
    """Reads a value: as it is written where the key holds text, else as YAML. `null` says null where that may be."""
    options = options_of(settable().get(settable_name(key)))
    if any(get_origin(option) is Literal and text in get_args(option) for option in options):
        return text
    if str not in options:
        return _parse_value(f"{key}={text}", text)
    if text in ('""', "''"):
        return ""
    if found := CONTROL.search(text):
        raise ConfigError(f"--set {key}: holds the control character {found[0]!r}")
    check_no_password(text)
    return None if text == "null" and types.NoneType in options else text


def _parse_value(setting: str, text: str) -> Any:
    try:
        value = parse(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {setting!r}: the value is not valid YAML ({' '.join(str(error).split())})") from error
    if isinstance(value, str):  # YAML 1.1 reads 1e-4 as text
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _set(values: dict[str, Any], path: list[str], value: Any, key: str) -> None:
    for part in path[:-1]:
        inner = values.get(part)
        if inner is None and may_be_set(key):  # a section that the file leaves out
            inner = {}
        if not isinstance(inner, Mapping):
            raise ConfigError(f"--set: unknown key {key!r}{_nearest_key(key)}")
        values[part] = dict(inner)
        values = values[part]
    values[path[-1]] = value


def _validate(
    model: type[Model], values: dict[str, Any], path: Path, set_keys: Collection[str] = (), prefix: str = ""
) -> Model:
    """Validates values as `model`.

    A mistake in one of `set_keys` is put down to `--set`; among these, the model's keys begin with `prefix`.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        mistakes = [_explain(detail, path, set_keys, prefix) for detail in _without_tags(error.errors())]
        raise ConfigError("; ".join(mistakes)) from error


def _without_tags(errors: Sequence[Any]) -> list[dict[str, Any]]:
    """Returns the errors with one in place of those that each type of a union gave for the same value."""
    merged: list[dict[str, Any]] = []
    for error in errors:
        if not (error["loc"] and TYPE_IN_UNION.fullmatch(str(error["loc"][-1]))):
            merged.append(dict(error))
        elif merged and merged[-1]["loc"] == error["loc"][:-1]:
            merged[-1]["msg"] += f", or {error['msg'].removeprefix('Input should be ')}"
        else:
            merged.append({**error, "loc": error["loc"][:-1]})
    return merged


def _explain(error: Any, path: Path, set_keys: Collection[str], prefix: str) -> str:
    key = (prefix + ".".join(str(part) for part in error["loc"] if part != "[key]")).removesuffix(".")
    by_setting = any(_within(name, key) or _within(key, name) for name in set_keys)
    where, shown_prefix = ("--set", "") if by_setting else (path.name, prefix)
    shown = key.removeprefix(shown_prefix)
    if error["type"] == "extra_forbidden":
        if others := architectures_with(key):
            return f"{where}: {shown} is of another architecture: {', '.join(others)}"
        return f"{where}: unknown key {shown!r}{_nearest_key(key, shown_prefix)}"
    if error["type"] == "missing":
        return f"{where}: {shown} is missing"
    message = error["msg"].removeprefix("Value error, ")
    value = "" if isinstance(error["input"], dict | list) else f" (not {error['input']!r})"
    place = f"{where}: {shown}" if error["loc"] else where
    return f"{place}: {message[0].lower()}{message[1:]}{value}"


def _within(key: str, folder: str) -> bool:
    return not folder or key == folder or key.startswith(f"{folder}.")


def _nearest_key(key: str, prefix: str = "") -> str:
    """Suggests the key that was meant, found by its last part, less `prefix`; its neighbours where none is near."""
    section, set_name = f"data.{SET}.", f"data.{key.split('.')[1]}." if key.startswith("data.") else ""
    keys = [name.replace(section, set_name or section) for name in settable()]
    folder, _, last = key.rpartition(".")
    neighbours = [name for name in keys if name.rpartition(".")[0] == folder]
    if same := [name for name in keys if name.startswith(f"{folder}.") and name.rpartition(".")[2] == last]:
        return f"; did you mean {same[0].removeprefix(prefix)!r}?"
    for candidates in (neighbours, keys):
        deepest_first = sorted(candidates, key=lambda name: -name.count("."))
        by_last = {name.rpartition(".")[2]: name for name in deepest_first}
        if nearest := difflib.get_close_matches(last, by_last, n=1):
            return f"; did you mean {by_last[nearest[0]].removeprefix(prefix)!r}?"
    return did_you_mean(key, neighbours or {name.partition(".")[0] for name in keys})
