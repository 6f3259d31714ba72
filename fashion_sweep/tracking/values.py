"""Collects what MLflow is told of a trial: params, final metrics and the tags that say what they rest on."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from fashion_sweep.config.adapter_columns import adapter_columns, adapter_value, alpha_of, placements_of
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.sweep import Sweep
from fashion_sweep.config.training_axes import short_value
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_what_may_be_lost
from fashion_sweep.training.settled import FACT, sentence

Point = tuple[str, float, int, int]
"""A point of a metric: key, value, time in milliseconds, step."""
FORGOTTEN = ("loss_increase", "loss_increase_se")


def parent_tags(run: RunPaths, config: RunConfig, results: Mapping[str, Any]) -> dict[str, str]:
    """Returns the tags of a run's own MLflow run: where it is, what it asks and found, and by what it went."""
    note = f"{config.sweep.question}\n\n{results.get('answer', '')}".strip()
    tags = {"run": run.name, "run_folder": str(run.root.resolve()), "mlflow.note.content": note}
    settled = read_what_may_be_lost(run.facts).get(FACT)
    return tags | ({FACT: sentence(settled)} if settled else {})


def trial_params(config: RunConfig, spec: TrialSpec, result: dict[str, Any]) -> dict[str, Any]:
    """Returns a trial's params, flat and short, so that MLflow's compare table reads like the study's."""
    training = config.training_of(spec)
    params = adapter_params(config, spec) | {
        "parameters": 0 if spec.is_base_model else result.get("parameters"),
        "learning_rate": training.learning_rate,
        "lora_alpha": alpha_of(spec, training),
        "batch_size": training.batch_size,
        "steps": training.steps or result.get("steps"),
        "epochs": training.epochs,
        "target_modules": " ".join(training.target_modules) if training.target_modules else None,
        "seed": training.seed + spec.replicate,
        "preset": config.preset.name,
    }
    own = {name: short_value(value) for name, value in spec.training if name not in params}
    return {key: value for key, value in (params | own).items() if value is not None}


def adapter_params(config: RunConfig, spec: TrialSpec) -> dict[str, Any]:
    """Returns what each placement that the run adapts, and the architecture's first, has in `spec`."""
    placed, training = {one.placement: one for one in spec.adapters}, config.training_of(spec)
    names = dict.fromkeys([next(iter(config.architecture.placements)), *placements_of(config)])
    return {
        f"{name}_{key}".replace("+", " "): _flat(adapter_value(placed.get(name), key, training))  # MLflow knows no plus
        for name in names
        for key in adapter_columns(config)
    }


def _flat(value: Any) -> Any:
    return short_value(value) if isinstance(value, list | bool) else value


def final_metrics(result: dict[str, Any], sweep: Sweep) -> tuple[dict[str, Any], dict[str, str]]:
    """Returns a finished trial's metrics, and the tags that say what they rest on."""
    metrics = {f"seconds_{stage}": value for stage, value in (result.get("seconds") or {}).items()}
    tags = {"adapter_bytes": str(result.get("adapter_bytes", "unknown"))}  # as a metric it would lead MLflow's plots
    tags |= {"adapter_from": str(source)} if (source := result.get("adapter_from")) else {}
    tags |= {"micro_batch_size": str(int(size))} if (size := result.get("micro_batch_size")) else {}
    for name, judged in (result.get("evaluations") or {}).items():
        suffix = f"_{name}" if len(sweep.judge) > 1 else ""
        measured = [key for metric in sweep.metrics_on(name) for key in (metric, f"{metric}_se")]
        metrics |= {f"{key}{suffix}": judged.get(key) for key in (*measured, *FORGOTTEN)}
        tags |= {f"{key}{suffix}": str(judged.get(key, "unknown")) for key in ("features", "samples", "clip_model")}
    metrics |= {key: value for key, value in task_summary(result, sweep).items() if finite(value)}
    notes = [f"{key}: {value}" for key, value in tags.items()]
    return metrics, tags | {"mlflow.note.content": "\n\n".join([str(result.get("title", "")), *notes])}


def task_summary(result: Mapping[str, Any], sweep: Sweep) -> Mapping[str, Any]:
    """Returns what the run's task found out about a trial beside its evaluations: numbers, and series by step."""
    summary: Mapping[str, Any] = result.get(sweep.task) or {}
    return summary


def corrected_metrics(verdicts: dict[str, Any], spec: TrialSpec, sweep: Sweep) -> dict[str, float]:
    """Returns metrics less their bias, as the report has them: of the configuration, which all its replicates share."""
    title, corrected = spec.configuration.title, {}
    for name, verdict in verdicts.items():
        estimates = (verdict.get("estimates") or {}).get(title) or {}
        suffix = f"_{name}" if len(sweep.judge) > 1 else ""
        for metric in metrics_of(estimates):
            if metric.is_biased:
                corrected[f"{metric.name}_corrected{suffix}"] = estimates[metric.name]["value"]
    return corrected


def final_points(
    written: Sequence[tuple[Path, Mapping[str, Any]]],
    result: Mapping[str, Any],
    sweep: Sweep,
    latest: Mapping[str, tuple[int, int, float]],
) -> list[Point]:
    """Returns the final metrics that MLflow does not have with this value.

    Args:
        written: metrics, each with the file that they are from.
        result: of the trial.
        sweep: of the run.
        latest: step, time and value of the latest point of each metric that is there.
    """
    step = int(result.get("steps") or 0)
    points: list[Point] = []
    for path, numbers in written:
        for key, value in numbers.items():
            _, before, sent = latest.get(key, (step, -1, None))
            if finite(value) and sent != float(value):
                # MLflow shows the last by time, and clocks have been set back
                points.append((key, float(value), max(int(path.stat().st_mtime * 1000), before + 1), step))
    now = int(written[0][0].stat().st_mtime * 1000)
    points += [point for point in _by_look(result, sweep, now) if point[3] > latest.get(point[0], (-1,))[0]]
    for key, series in task_summary(result, sweep).items():
        if isinstance(series, Mapping):
            seen = latest.get(key, (-1,))[0]
            points += [(key, value, now, int(at)) for at, value in series.items() if int(at) > seen]
    return points


def _by_look(result: Mapping[str, Any], sweep: Sweep, now: int) -> list[Point]:
    """Returns the metrics by the number of images, as the looks of a race had them, less their bias."""
    points = []
    for name, judged in (result.get("evaluations") or {}).items():
        suffix = f"_{name}" if len(sweep.judge) > 1 else ""
        for images, values in (judged.get("looks") or {}).items():
            known = {key: value for key, value in values.items() if finite(value)}
            points += [(f"{key}_by_images{suffix}", value, now, int(images)) for key, value in known.items()]
    return points


def finite(value: Any) -> TypeGuard[float]:
    """Returns whether a value is a finite number. A gap stays a gap: MLflow would draw NaN as a number of its own."""
    return isinstance(value, int | float) and math.isfinite(value)
