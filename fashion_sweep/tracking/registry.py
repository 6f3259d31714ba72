"""Puts the best adapter of a run into MLflow's model registry; `generate` fetches it from there.

A version is the adapter's folder among its trial's artifacts, made a model of MLflow's diffusers flavour by an
`MLmodel` file beside it: nothing is stored twice, and `mlflow.diffusers.load_model` takes it as well.
"""

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import read_catalogue
from fashion_sweep.doors import ADAPTER_KINDS
from fashion_sweep.models.registry import architecture_of
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json
from fashion_sweep.tracking.values import trial_params

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

BEST = "best"
"""The alias of the newest run's version."""
FOLDER = "adapter"
"""The folder of the adapter among a trial's artifacts."""
LESS = {"evaluation_samples": "images to be judged at most", "steps": "steps"}
"""The tags by which a version may be less than another, with their names in words."""
JUDGED_ON = ("samples", "features")


@dataclass(frozen=True)
class Winner:
    """Describes the best trial of a run, by the verdict on the first evaluation set that has one."""

    spec: TrialSpec
    verdict: Mapping[str, Any]
    evaluation_set: str


def winner(config: RunConfig, specs: Sequence[TrialSpec], results: Mapping[str, Any]) -> Winner | None:
    """Returns the best trial of a run, or None where the run came to no verdict."""
    verdicts = results.get("verdicts") or {}
    by_id = {spec.trial_id: spec for spec in specs}
    for name in config.sweep.judge:
        verdict = verdicts.get(name)
        if verdict and verdict.get("best_trial") in by_id:
            return Winner(by_id[verdict["best_trial"]], verdict, name)
    return None


@dataclass(frozen=True)
class RegistryEntry:
    """Describes an adapter that is to be a version of a registered model."""

    model: str
    """The name of the model; MLflow takes neither '/' nor ':' in it, nor quotes in a search."""
    spec: TrialSpec
    tags: Mapping[str, str]
    description: str
    about: str
    """The description of the model, whatever its versions."""
    beside: Sequence[Path] = ()
    """Files that are downloaded with the adapter."""


def entry_of_winner(run: RunPaths, config: RunConfig, won: Winner) -> RegistryEntry:
    tags = _tags(run, config, won)
    return RegistryEntry(model_name(config), won.spec, tags, tags.get("verdict", ""), config.sweep.question)


def model_name(config: RunConfig) -> str:
    """Returns the name of the registered model, one for each sweep and preset."""
    return re.sub(r"[/:'\"]", "-", f"{config.sweep.name}-{config.preset.name}")


def register(
    store: "MlflowClient", run: RunPaths, config: RunConfig, entry: RegistryEntry, parent: "Run", trial: "Run"
) -> str:
    """Makes the adapter a version of its model, or brings that version up to date; returns which, in words.

    Args:
        store: MLflow.
        run: the run folder.
        config: its configuration.
        entry: one of its adapters.
        parent: the run's own MLflow run.
        trial: the MLflow run of its trial, whose artifacts hold the adapter.
    """
    if entry.spec.is_base_model:
        return "nothing: the base model, which has no adapter, is the best"
    if not run.trial(entry.spec.trial_id).adapter.is_file():
        return f"nothing: the adapter of {entry.spec.trial_id} is no longer in the run folder"
    name = entry.model
    tags = {**entry.tags, "run_started": str(parent.info.start_time)}
    version = _version(store, entry, config, run, trial, tags)
    for key, value in tags.items():
        if version.tags.get(key) != value:
            store.set_model_version_tag(name, version.version, key, value)
    if version.description != entry.description:
        store.update_model_version(name, version.version, entry.description)
    kept = _point_alias(store, name, version, tags)
    decided = ", though none could be chosen" if tags.get("decided") == "false" else ""
    made = f"models:/{name}/{version.version}: {entry.spec.title}{decided}"
    return f"{made}; {kept}" if kept else f"{made}; now models:/{name}@{BEST}"


def _version(
    store: "MlflowClient", entry: RegistryEntry, config: RunConfig, run: RunPaths, trial: "Run", tags: Mapping[str, str]
) -> "ModelVersion":
    """Finds the version made of this trial of this run by its MLflow run; makes one where there is none.

    A second version comes from a request that was carried out after it had been given up for lost; it is deleted.
    """
    name = entry.model
    of_trial = store.search_model_versions(f"name = '{name}' and run_id = '{trial.info.run_id}'")
    ours = sorted((one for one in of_trial if one.tags.get("run_started")), key=lambda one: int(one.version))
    for twin in ours[1:]:
        store.delete_model_version(name, twin.version)
    if ours:
        return ours[0]
    _make_model(store, name, entry.about)
    _describe(store, trial.info.run_id, config, entry.spec)
    for path in (run.config, *entry.beside):
        store.log_artifact(trial.info.run_id, str(path), FOLDER)
    source = f"{trial.info.artifact_uri}/{FOLDER}"
    return store.create_model_version(
        name,
        source,
        run_id=trial.info.run_id,
        tags=dict(tags),
        description=entry.description,
        await_creation_for=0,
    )


def _make_model(store: "MlflowClient", name: str, question: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        store.create_registered_model(name, description=question)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _describe(store: "MlflowClient", run_id: str, config: RunConfig, spec: TrialSpec) -> None:
    """Lays the `MLmodel` file beside the adapter. MLflow's own `log_model` would load torch and ask the hub."""
    from mlflow.models import Model

    model = Model(artifact_path=FOLDER, run_id=run_id)
    model.add_flavor(
        "diffusers",
        base_model=architecture_of(config.preset.model).locate(config.preset.model.base),
        adapter_type=ADAPTER_KINDS[spec.adapters[0].kind].family,
        adapter_weights=".",
        diffusers_version=installed_version("diffusers"),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "MLmodel"
        model.save(str(path))
        store.log_artifact(run_id, str(path), FOLDER)


def _tags(run: RunPaths, config: RunConfig, won: Winner) -> dict[str, str]:
    """Returns the tags of a version: what the choice rests on, and what `generate` needs."""
    result = read_json(run.trial(won.spec.trial_id).result, {})
    judged = (result.get("evaluations") or {}).get(won.evaluation_set) or {}
    keys = (*config.sweep.judge[won.evaluation_set], *JUDGED_ON)
    tags = trial_params(config, won.spec, result) | {key: judged.get(key) for key in keys}
    tags |= {
        "run": run.name,
        "trial_id": won.spec.trial_id,
        "configuration": won.spec.configuration.title,
        "verdict": won.verdict.get("sentence", ""),
        "decided": str(won.verdict.get("chosen") is not None).lower(),
        "evaluation_set": won.evaluation_set,
        "evaluation_samples": config.preset.evaluation.samples,
        "base_model": config.preset.model.base,
    }
    catalogue = run.catalogue(config.preset.training_set)
    if catalogue.is_file():
        height, width = read_catalogue(catalogue).original_size
        tags["original_size"] = f"{height}x{width}"
    return {key: str(value) for key, value in tags.items() if value is not None}


def _point_alias(store: "MlflowClient", name: str, version: "ModelVersion", tags: Mapping[str, str]) -> str | None:
    """Points the alias to the newest run's version, unless that was trained or judged less: a quick test is no winner.

    Returns:
        Why the alias stays elsewhere; None where it points to `version` now.
    """
    current = store.get_registered_model(name).aliases.get(BEST)
    if current is not None:
        if str(current) == str(version.version):
            return None
        theirs = store.get_model_version(name, str(current)).tags
        stays = f"models:/{name}@{BEST} stays version {current}"
        for key, unit in LESS.items():
            if _number(tags.get(key)) < _number(theirs.get(key)):
                return f"{stays}, with {theirs[key]} {unit} against {tags.get(key)}"
        if _number(theirs.get("run_started")) > _number(tags["run_started"]):
            return f"{stays}, of a newer run"
    from mlflow.exceptions import MlflowException

    try:
        store.set_registered_model_alias(name, BEST, version.version)
    except MlflowException:
        set_by_another = current is None and BEST in store.get_registered_model(name).aliases
        if not set_by_another:
            raise
        return _point_alias(store, name, version, tags)
    return None


def _number(text: str | None) -> float:
    return float(text) if text else 0.0
