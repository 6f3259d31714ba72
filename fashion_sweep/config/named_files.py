"""Finds presets and sweeps by their names or files, and reads their values."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fashion_sweep.config.safe_yaml import read_yaml
from fashion_sweep.errors import ConfigError, did_you_mean

PRESETS = Path(__file__).parent / "presets"
PACKAGE = Path(__file__).parent.parent
SWEEPS = next((folder for folder in (PACKAGE / "sweeps", PACKAGE.parent / "sweeps") if folder.is_dir()), PACKAGE)
"""The folder of sweep files: inside the package where it was installed, beside it in a checkout."""
DEFAULT_PRESET = "tiny"


def locate_preset(name: str | None) -> Path:
    """Returns the file of a preset; None stands for the environment's, else for `tiny`.

    Raises:
        ConfigError: there is no such preset.
    """
    if name is None:  # an empty one is a mistake, but for the environment's, which is none
        name = os.environ.get("FASHION_SWEEP_PRESET") or DEFAULT_PRESET
    return _locate(name, PRESETS, "preset")


def locate_sweep(name: str) -> Path:
    """Returns the file of a sweep.

    Raises:
        ConfigError: there is no such sweep.
    """
    return _locate(name, SWEEPS, "sweep")


def read_preset(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Reads a preset's values, with those of the preset that it is `like` where it has none; a `model` stands whole.

    Returns:
        The values, and the names of all presets that they are from, its own last.

    Raises:
        ConfigError: there is no such other preset, or it is like itself.
    """
    return _read_preset(path, [])


def _read_preset(path: Path, asking: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    values = {"name": path.stem, **read_yaml(path)}
    if (like := values.get("like")) is None:
        return values, [path.stem]
    if not isinstance(like, str):
        raise ConfigError(f"{path.name}: like: must be the name of a preset, not {like!r}")
    if path.stem in asking:
        raise ConfigError(f"{path.name}: like: is like itself, by way of {' and '.join(asking)}")
    other, names = _read_preset(_locate(like, PRESETS, "preset"), [*asking, path.stem])
    return _merged(other, values) | {"model": values.get("model", other.get("model"))}, [*names, path.stem]


def read_sweep(path: Path, presets: Sequence[str]) -> dict[str, Any]:
    """Reads a sweep's values; those under `presets.<preset>` win over general ones, those of the last preset over all.

    Raises:
        ConfigError: `presets` is something else.
    """
    values = {"name": path.stem, **read_yaml(path)}
    special = values.pop("presets", {})
    if not isinstance(special, Mapping) or not all(isinstance(part, Mapping) for part in special.values()):
        raise ConfigError("presets: must hold a mapping from preset to keys of the sweep")
    return values | {key: value for name in presets for key, value in special.get(name, {}).items()}


def _merged(values: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `values` with those of `own` in their place, section by section."""
    return {**values, **own} | {
        key: _merged(values[key], own[key])
        for key in values.keys() & own.keys()
        if isinstance(values[key], Mapping) and isinstance(own[key], Mapping)
    }


def _locate(name: str, folder: Path, kind: str) -> Path:
    path = Path(name)
    if path.suffix in {".yaml", ".yml"}:
        if path.is_file():
            return path
        raise ConfigError(f"{kind} file {name} does not exist")
    names = [file.stem for file in folder.glob("*.yaml")]
    if name not in names:
        raise ConfigError(f"unknown {kind} {name!r}{did_you_mean(name, names)}")
    return folder / f"{name}.yaml"
