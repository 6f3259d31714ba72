"""Exports a run's adapter as other tools read it, with a model card. Loads neither torch nor weights."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fashion_sweep.adapters.formats import (
    ADAPTER_FILE,
    FORMATS,
    WORDS_FILE,
    SavedAdapter,
    check_format,
    read_adapter,
    write_words,
)
from fashion_sweep.adapters.metadata import (
    base_model_id,
    judged_key,
    metrics_key,
    modelspec_keys,
    original_size_in,
    own_keys,
    sd_scripts_keys,
    tokens_key,
    trigger_words_in,
)
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.data.catalogue import read_catalogue
from fashion_sweep.errors import ConfigError, RunError, did_you_mean
from fashion_sweep.handover.model_card import Card, corrected_values
from fashion_sweep.handover.task_card import handed_over
from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.report.results import Evaluation, Results, TrialResult, collect
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import is_whole, read_json, write_text

MEASURED_ON = ("features", "samples", "clip_model")
"""The values that the file's metadata holds for each evaluation set beside its metrics."""


@dataclass(frozen=True)
class ExportRequest:
    run: RunPaths
    format: str
    trial: str | None = None
    """The id of the trial to export; None: the run's best."""
    output: Path | None = None
    """The folder to write, which does not exist yet; None: a folder in the run's `exports/`."""
    trigger_words: Sequence[str] = ()
    """The trigger words of the adapter; empty: those that it was trained with."""
    base_model: str | None = None
    """The base model's name on the hub, where the preset has a path."""


def export(request: ExportRequest) -> list[Path]:
    """Writes the adapter and its card, and returns their paths.

    Raises:
        ConfigError: an unknown format or trial, a layer that the format has no name for, or an output that exists.
        RunError: the run has no such adapter, or no best one.
    """
    if request.format not in FORMATS:
        raise ConfigError(f"--format {request.format!r}: must be one of {', '.join(FORMATS)}")
    results, verdicts = collect(request.run), read_json(request.run.results, {}).get("verdicts") or {}
    trial = _trial(request, results)
    adapter = read_adapter(_adapter_file(request.run, trial))
    check_format(request.format, adapter, results.config.architecture)
    folder = request.output or request.run.exports / f"{trial.spec.trial_id}-{request.format}"
    _check_output(folder)
    words = request.trigger_words or trigger_words_in(adapter.metadata)
    request = replace(request, trigger_words=tuple(dict.fromkeys([*words, *trial.spec.words])))
    card = _card(request, results.config, trial, verdicts, original_size_in(adapter.metadata))
    metadata = _metadata(request, results, trial, verdicts, card)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as made:
        written = Path(made) / "export"
        _write(written, card, adapter.with_base(card.base_model), metadata)
        if folder.is_dir():
            folder.rmdir()  # an empty one
        written.rename(folder)
    made_files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in made_files:
        remote.put(path)
    return made_files


def _trial(request: ExportRequest, results: Results) -> TrialResult:
    trials = {trial.spec.trial_id: trial for trial in results.trials}
    if request.trial is not None:
        if request.trial not in trials:
            raise ConfigError(f"--trial {request.trial!r}: is no trial of {results.run}{_known(request.trial, trials)}")
        return trials[request.trial]
    specs, raw = [trial.spec for trial in results.trials], read_json(request.run.results, {})
    best = handed_over(results.config).best(results.config, specs, raw)
    if best is None:
        raise RunError(f"{results.run} has come to no verdict; name a trial with --trial{_known('', trials)}")
    return trials[best.trial_id]


def _known(name: str, trials: Mapping[str, TrialResult]) -> str:
    return did_you_mean(name, [name for name, trial in trials.items() if not trial.spec.is_base_model] or ["none"])


def _adapter_file(run: RunPaths, trial: TrialResult) -> Path:
    path = run.trial(trial.spec.trial_id).adapter
    if trial.spec.is_base_model:
        raise RunError(f"{trial.spec.trial_id} of {run.name} has no adapter; name another trial with --trial")
    if not path.is_file():
        raise RunError(f"{trial.spec.trial_id} of {run.name} has no adapter: {trial.error or trial.state}")
    if not is_whole(path):
        raise RunError(f"{path} is damaged: not a whole safetensors file")
    return path


def _check_output(folder: Path) -> None:
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConfigError(f"--output {folder}: exists already; name another folder, or remove it")


def _card(
    request: ExportRequest,
    config: RunConfig,
    trial: TrialResult,
    verdicts: Mapping[str, Any],
    original_size: tuple[int, int] | None,
) -> Card:
    """Makes the model card; original_size: as the adapter's file has it, None for that of the data."""
    catalogue, trial_id = request.run.catalogue(config.preset.training_set), trial.spec.trial_id
    files = {"diffusers": ADAPTER_FILE, "kohya": f"{request.run.name}-{trial_id}.safetensors", "peft": ""}
    return Card(
        run=request.run.name,
        config=config,
        trial=trial,
        told=handed_over(config).card(config, trial, {name: verdicts.get(name) for name in config.sweep.judge}),
        format=request.format,
        file=files[request.format],
        base_model=request.base_model or base_model_id(config.preset.model.base),
        trigger_words=request.trigger_words,
        original_size=original_size or (read_catalogue(catalogue).original_size if catalogue.is_file() else None),
    )


def _metadata(
    request: ExportRequest, results: Results, trial: TrialResult, verdicts: Mapping[str, Any], card: Card
) -> dict[str, str]:
    config, words = results.config, request.trigger_words
    metrics = {name: _numbers(judged, verdicts.get(name), trial) for name, judged in trial.evaluations.items()}
    keys = own_keys(config, trial.spec, results.run, card.original_size, words, card.base_model)
    keys |= judged_key(config) | metrics_key(metrics)
    title, started = f"{results.run}: {trial.title}", str(results.facts.get("started", ""))
    sentences = [f"{trial.title}, trial {trial.spec.trial_id} of a run with this answer:"]
    sentences += [verdict.get("sentence", "") for verdict in verdicts.values() if verdict]
    keys |= modelspec_keys(
        config, trial.spec, title, " ".join(sentences), started, words, kohya=request.format == "kohya"
    )
    if request.format == "kohya":
        keys |= sd_scripts_keys(
            config, trial.spec, card.file.removesuffix(".safetensors"), card.base_model, trial.steps
        )
    return keys


def _numbers(judged: Evaluation, verdict: Mapping[str, Any] | None, trial: TrialResult) -> dict[str, Any]:
    """Returns the metrics on an evaluation set, what they were measured on, and biased ones also less their bias."""
    metrics, values = metrics_of(judged.metrics), judged.as_json()
    names = [key for one in metrics for key in (one.name, f"{one.name}_se")]
    numbers = {key: values[key] for key in (*names, *MEASURED_ON) if values.get(key) is not None}
    corrected = corrected_values(verdict, trial)
    biased = [one.name for one in metrics if one.is_biased and one.name in corrected]
    return numbers | {f"{name}_corrected": corrected[name] for name in biased}


def _write(folder: Path, card: Card, adapter: SavedAdapter, metadata: Mapping[str, str]) -> None:
    architecture, of_weights, of_words = card.config.architecture, adapter.of_weights, adapter.of_words
    metadata = {**metadata, **tokens_key(adapter.tokens)}
    if of_weights.tensors:
        FORMATS[card.format](folder / card.file, of_weights, architecture, metadata)
    if of_words.tensors:
        write_words(folder / WORDS_FILE, of_words, architecture, metadata)
    write_text(folder / "README.md", card.text())
