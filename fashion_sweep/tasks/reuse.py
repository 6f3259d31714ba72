"""Takes adapters of another run: what was trained there in the very same way is copied, not trained again."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fashion_sweep.config.loading import read_run_config
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import read_catalogue
from fashion_sweep.data.split import training_steps
from fashion_sweep.errors import RunError
from fashion_sweep.models.registry import architecture_of
from fashion_sweep.run.claim import differing
from fashion_sweep.run.paths import RunPaths, TrialPaths
from fashion_sweep.run.specs import run_specs
from fashion_sweep.storage.files import is_whole, read_json, read_json_lines, replacing, write_json

Say = Callable[[str], None]
NAMED = 3
"""The number of differences that an error names."""


def check_trained_alike(config: RunConfig, run: RunPaths, other: RunPaths) -> None:
    """Checks that another run trained alike, by the configurations alone, before anything is started.

    Raises:
        RunError: `other` is `run` itself, or trained its adapters otherwise.
    """
    if other.root.resolve() == run.root.resolve():
        raise RunError(f"--adapters-from {other.name}: is this run itself, whose adapters are used in any case")
    theirs = read_run_config(other.config)
    differences: list[str] = []
    for spec in _shared(config, other):
        differences += differing(_model(theirs, spec), _model(config, spec), "model.")
        ours, their_training = config.training_of(spec).model_dump(), theirs.training_of(spec).model_dump()
        differences += differing(their_training, ours, "training.")
    _refuse(other, list(dict.fromkeys(differences)))


def take_adapters(config: RunConfig, run: RunPaths, other: RunPaths, say: Say) -> None:
    """Copies adapter and losses of every trial that `other` has trained and `run` has not, and says so of each.

    Raises:
        RunError: `other` trained on other data or another base model.
    """
    shared = _shared(config, other)
    if any(other.trial(spec.trial_id).adapter.exists() for spec in shared):
        _refuse(other, _data_differences(run, other))
    for spec in config.specs:
        ours = run.trial(spec.trial_id)
        if spec.is_base_model or ours.result.exists() or is_whole(ours.adapter):
            continue
        missing = _why_not(config, other, spec) if spec in shared else "no trial"
        if missing:
            say(f"{spec.title}: {missing} in {other.name}, so it is trained here")
        else:
            _copy(other, spec, ours)
            say(f"{spec.title}: adapter taken from {other.name}")


def _shared(config: RunConfig, other: RunPaths) -> list[TrialSpec]:
    theirs = run_specs(other, read_run_config(other.config))
    return [spec for spec in config.specs if not spec.is_base_model and spec in theirs]


def _model(config: RunConfig, spec: TrialSpec) -> dict[str, Any]:
    """Returns the settings of the base model that have a part in a trial's training."""
    model = config.model_of(spec)
    values: dict[str, Any] = architecture_of(model).for_training(model).model_dump()
    return values


def _data_differences(run: RunPaths, other: RunPaths) -> list[str]:
    """Returns the names of data and weights that differ. The folders of the cache are named by what went into them;
    where the cache lies does not matter."""
    if not (other.caches.is_file() and _training_catalogue(other).is_file()):
        return ["the data, of which it tells nothing"]
    key = f"data.{read_run_config(run.config).preset.training_set}"
    (ours, our_captions), (theirs, their_captions) = _data(run, key), _data(other, key)
    differences = [name for name in ours if name in theirs and ours[name] != theirs[name]]
    return differences + ([key] if our_captions != their_captions else [])


def _data(run: RunPaths, key: str) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    caches = read_json(run.caches)
    parts = {"weights of model.base": caches["models"][0]}
    kept = [part for part in ("images", "captions") if part in caches]  # cache.max_gb may leave no room for captions
    parts |= {f"{key} {part}": [Path(caches[part][0]).name, caches[part][1]] for part in kept}
    return parts, [(record.name, record.caption) for record in read_catalogue(_training_catalogue(run)).records]


def _training_catalogue(run: RunPaths) -> Path:
    return run.catalogue(read_run_config(run.config).preset.training_set)


def _refuse(other: RunPaths, differences: list[str]) -> None:
    if differences:
        more = f" and {len(differences) - NAMED} more" if len(differences) > NAMED else ""
        named = ", ".join(differences[:NAMED]) + more
        raise RunError(
            f"--adapters-from {other.name}: its adapters were trained otherwise ({named}); "
            "give a run that agrees, or leave it out"
        )


def _why_not(config: RunConfig, other: RunPaths, spec: TrialSpec) -> str | None:
    """Returns why an adapter cannot be copied; None where it can. An adapter is written when training ends, so one that
    is whole is trained, even in a run in progress; but not to the end where it was stopped early."""
    theirs = other.trial(spec.trial_id)
    if not theirs.adapter.exists():
        return "not trained"
    losses = read_json_lines(theirs.metrics)
    if not is_whole(theirs.adapter) or not losses:
        return "its adapter is damaged"
    steps = training_steps(config.training_of(spec), read_catalogue(_training_catalogue(other)))
    return None if losses[-1]["step"] == steps else f"stopped after {losses[-1]['step']} of {steps} steps"


def _copy(other: RunPaths, spec: TrialSpec, ours: TrialPaths) -> None:
    """Copies a trial's losses, then its adapter: with the adapter the trial counts as trained."""
    theirs = other.trial(spec.trial_id)
    origin = read_json(theirs.adapter_source, {}).get("run", other.name)
    write_json(ours.adapter_source, {"run": origin, "copied_from": str(theirs.adapter)})
    for source, target in ((theirs.metrics, ours.metrics), (theirs.adapter, ours.adapter)):
        with replacing(target) as temporary:
            shutil.copyfile(source, temporary)
