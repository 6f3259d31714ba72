"""Downloads adapters from MLflow's model registry."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fashion_sweep.errors import ConfigError, RunError, did_you_mean
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.tracking.registry import BEST
from fashion_sweep.tracking.store import check_answers, check_exists, client, shown, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

ADDRESS = re.compile(r"models:/(?P<name>[^/@:]+)(@(?P<alias>[^/@:]+)|/(?P<version>\d+))")


@dataclass(frozen=True)
class Fetched:
    """Describes a downloaded version of a registered model."""

    address: str
    """The address by version, since an alias may point elsewhere tomorrow."""
    file: Path
    tags: Mapping[str, str]
    config: Path | None = None
    """The configuration of the run that trained the adapter."""


def fetch(address: str, folder: Path, option: str = "--adapter") -> Fetched:
    """Downloads the adapter at `models:/NAME@ALIAS` or `models:/NAME/VERSION` into `folder`.

    `option` of the command line was given the address, and is named in errors.

    Raises:
        ConfigError: there is no such model, alias, version or store, or it holds no adapter.
        RunError: MLflow does not answer, or cannot deliver.
    """
    parts = ADDRESS.fullmatch(address)
    if parts is None:
        raise ConfigError(f"{option} {address!r}: write it as models:/NAME@{BEST} or models:/NAME/VERSION")
    uri = tracking_uri()
    check_exists(uri)
    check_answers(uri)
    store = client(uri)
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        version = _look_up(store, option, address, **parts.groupdict())
        source = store.get_model_version_download_uri(version.name, version.version)
        folder.mkdir(parents=True, exist_ok=True)
        downloaded = Path(download_artifacts(artifact_uri=source, dst_path=str(folder), tracking_uri=uri))
    except (MlflowException, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise RunError(f"{option} {address}: MLflow at {shown(uri)} cannot deliver it: {reason}") from error
    files = [downloaded] if downloaded.is_file() else sorted(downloaded.rglob("*.safetensors"))
    if len(files) != 1:
        raise ConfigError(f"{option} {address}: holds {len(files)} safetensors files where one adapter is expected")
    config = files[0].with_name(RunPaths(files[0].parent).config.name)
    address = f"models:/{version.name}/{version.version}"
    return Fetched(address, files[0], version.tags, config if config.is_file() else None)


def _look_up(
    store: "MlflowClient", option: str, address: str, name: str, alias: str | None, version: str | None
) -> "ModelVersion":
    models = {model.name: model for model in store.search_registered_models(max_results=1000)}
    if name not in models:
        hint = did_you_mean(name, models) if models else "; none is registered yet"
        raise ConfigError(f"{option} {address}: there is no registered model {name!r}{hint}")
    aliases = models[name].aliases
    if alias is not None and alias not in aliases:
        raise ConfigError(f"{option} {address}: no version has the alias {alias!r}{did_you_mean(alias, aliases)}")
    wanted = str(aliases[alias]) if alias is not None else str(version)
    known_versions = {str(one.version): one for one in store.search_model_versions(f"name = '{name}'")}
    if wanted not in known_versions:
        listed = ", ".join(sorted(known_versions, key=int)) or "none"
        raise ConfigError(f"{option} {address}: there is no version {wanted}; known: {listed}")
    return known_versions[wanted]
