"""Reads a run folder into frozen results. What is not known stays None."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from fashion_sweep.config.loading import read_run_config
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.sweep import Sweep
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import DataError, RunError
from fashion_sweep.judging.looks import at_first_look
from fashion_sweep.metrics.extractors import CLIP, FEATURES
from fashion_sweep.metrics.metric import Metric, metrics_of
from fashion_sweep.planning.plan import trials_wanted
from fashion_sweep.report.words import GAP
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.specs import run_specs
from fashion_sweep.run.status import read_status, state_of
from fashion_sweep.storage.files import read_json, read_what_may_be_lost

State = Literal["done", "failed", "stopped", "unfinished"]
"""The states of a trial; stopped: by a search, which saw it fall behind."""


@dataclass(frozen=True)
class MetricValue:
    """A metric of one trial, as computed."""

    value: float
    standard_error: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """The results of one trial on one evaluation set."""

    metrics: Mapping[str, MetricValue] = field(default_factory=dict)
    """The metrics that are known, by name."""
    at_first_look: Mapping[str, float] = field(default_factory=dict)
    """The metrics as the first look of the race had them, less their bias: of all trials on as many images."""
    samples: int | None = None
    features: str | None = None
    """The extractor that the preset names, behind FID and KID."""
    feature_dim: int | None = None
    clip_model: str | None = None
    other_networks: str | None = None
    """The networks of further metrics."""
    reference_samples: int | None = None
    base_loss: float | None = None
    """The denoising loss of the base model on this set, where nothing was trained on it."""
    loss_increase: float | None = None
    """The increase of the loss with the adapter, on the same images and noise."""
    loss_increase_se: float | None = None
    loss_samples: int | None = None
    images_at_once: int | None = None
    """The images that went through the model together; fewer than a batch where memory did not suffice."""

    def value(self, metric: Metric) -> float | None:
        """Returns a metric in the units of tables; None where it is not known."""
        measured = self.metrics.get(metric.name)
        return None if measured is None else metric.scale * measured.value

    def rank(self, metric: Metric) -> float:
        """Returns a number that is smaller for better values; infinite where there is none."""
        value = self.value(metric)
        return math.inf if value is None else value if metric.better == "lower" else -value

    def source(self, metric: Metric) -> str:
        """Says what the metric is measured by."""
        if FEATURES in metric.extractors:
            return f"on {self.features or GAP} features"
        names = [name for name in metric.extractors if name != CLIP]
        return f"by {' and '.join([self.clip_model or GAP] * (CLIP in metric.extractors) + names)}"

    def as_json(self) -> dict[str, Any]:
        """Returns the evaluation flat, as `result.json` has it."""
        values = asdict(self)
        del values["at_first_look"]
        for name, one in values.pop("metrics").items():
            values |= {name: one["value"]}
            values |= {f"{name}_se": error} if (error := one["standard_error"]) is not None else {}
        return values


@dataclass(frozen=True)
class TrialResult:
    spec: TrialSpec
    state: State
    error: str | None = None
    parameters: int | None = None
    adapter_bytes: int | None = None
    steps: int | None = None
    adapter_from: str | None = None
    """The run that trained the adapter, where it was another one."""
    train_loss: float | None = None
    val_loss: float | None = None
    micro_batch_size: int | None = None
    """The micro-batch size at the end; smaller than configured where memory did not suffice."""
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)
    summary: Mapping[str, float] = field(default_factory=dict)
    """What the run's task found out beside the evaluations."""
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return self.spec.title

    def on(self, evaluation_set: str) -> Evaluation:
        return self.evaluations.get(evaluation_set, Evaluation())


@dataclass(frozen=True)
class Results:
    run: str
    config: RunConfig
    trials: tuple[TrialResult, ...]
    """The trials in the sweep's order."""
    facts: Mapping[str, Any]
    seconds: Mapping[str, float]
    """The seconds by stage of the run; empty while the run has not said."""

    @property
    def wanted(self) -> int:
        """The number of trials that there will be."""
        return max(len(self.trials), trials_wanted(self.config))

    @property
    def over(self) -> int:
        """The number of trials that have come to an end."""
        return sum(trial.state != "unfinished" for trial in self.trials)

    def deciding(self, evaluation_set: str) -> tuple[Metric, ...]:
        """Returns the metrics of the verdict on this set."""
        return metrics_of(self.config.sweep.judge[evaluation_set])

    def measured(self, evaluation_set: str) -> tuple[Metric, ...]:
        """Returns the metrics of the verdict on this set, and those that are shown beside them."""
        return metrics_of(self.config.sweep.metrics_on(evaluation_set))

    def evaluations_on(self, evaluation_set: str) -> list[Evaluation]:
        """Returns the evaluations of the trials that were judged on this set."""
        return [trial.evaluations[evaluation_set] for trial in self.trials if evaluation_set in trial.evaluations]


def collect(run: RunPaths) -> Results:
    """Reads everything that the run folder says about its trials.

    Raises:
        DataError: a file of the run is not what it should be.
        RunError: no run is there, or its trials were judged by different extractors and so cannot share a table.
    """
    if not run.config.is_file():
        raise RunError(f"{run.root} is no run folder: it has no {run.config.name}")
    config = read_run_config(run.config)
    results = Results(
        run=run.name,
        config=config,
        trials=tuple(_trial(run, spec, config.sweep) for spec in run_specs(run, config)),
        facts=_facts(run),
        seconds=numbers(read_what_may_be_lost(run.results).get("seconds")),
    )
    for name in config.sweep.judge:
        extractors = {(one.features, one.clip_model, one.other_networks) for one in results.evaluations_on(name)}
        if len(extractors) > 1:
            raise RunError(
                f"{run.name}: trials were judged on {name} by different models: {sorted(map(str, extractors))}"
            )
    return results


def _trial(run: RunPaths, spec: TrialSpec, sweep: Sweep) -> TrialResult:
    paths = run.trial(spec.trial_id)
    status = read_status(paths)
    state = state_of(paths, status, going=False)
    if state == "stopped":
        return _stopped(spec, _mapping(paths.stopped), _mapping(paths.suggestion))
    if state == "failed":
        return TrialResult(spec, "failed", str(status.get("error") or "unknown error"))
    if state != "done":
        return TrialResult(spec, "unfinished")
    values = _mapping(paths.result)
    evaluations = values.get("evaluations")
    if not isinstance(evaluations, dict) or not all(isinstance(judged, dict) for judged in evaluations.values()):
        raise DataError(f"{paths.result} is damaged: it has no evaluations; remove it to have the trial judged again")
    if missing := [name for name in sweep.judge if name not in evaluations]:
        raise DataError(f"{paths.result} is damaged: nothing on {missing[0]}; remove it to have the trial judged again")
    return TrialResult(
        spec=spec,
        state="done",
        parameters=0 if spec.is_base_model else _whole(values.get("parameters")),
        adapter_bytes=_whole(values.get("adapter_bytes")),
        steps=_whole(values.get("steps")),
        adapter_from=_text(values.get("adapter_from")),
        train_loss=number(values.get("train_loss")),
        val_loss=number(values.get("val_loss")),
        micro_batch_size=_whole(values.get("micro_batch_size")),
        evaluations={name: _evaluation(evaluations[name], sweep.metrics_on(name)) for name in sweep.judge},
        summary=numbers(values.get(sweep.task)),
        seconds=numbers(values.get("seconds")),
    )


def _stopped(spec: TrialSpec, reached: Mapping[str, Any], suggestion: Mapping[str, Any]) -> TrialResult:
    return TrialResult(
        spec=spec,
        state="stopped",
        parameters=_whole(suggestion.get("parameters")),
        steps=_whole(reached.get("step")),
        val_loss=number(reached.get("val_loss")),
    )


def _evaluation(values: Mapping[str, Any], metrics: Sequence[str]) -> Evaluation:
    measured = {name: value for name in metrics if (value := number(values.get(name))) is not None}
    return Evaluation(
        metrics={name: MetricValue(value, number(values.get(f"{name}_se"))) for name, value in measured.items()},
        at_first_look=numbers(at_first_look(values)),
        samples=_whole(values.get("samples")),
        features=_text(values.get("features")),
        feature_dim=_whole(values.get("feature_dim")),
        clip_model=_text(values.get("clip_model")),
        other_networks=_text(values.get("other_networks")),
        reference_samples=_whole(values.get("reference_samples")),
        base_loss=number(values.get("base_loss")),
        loss_increase=number(values.get("loss_increase")),
        loss_increase_se=number(values.get("loss_increase_se")),
        loss_samples=_whole(values.get("loss_samples")),
        images_at_once=_whole(values.get("images_at_once")),
    )


def _mapping(path: Path) -> dict[str, Any]:
    values = read_json(path, {})
    if not isinstance(values, dict):
        raise DataError(f"{path}: must hold an object")
    return values


def _facts(run: RunPaths) -> dict[str, Any]:
    facts = _mapping(run.facts)
    for name in ("hardware", "versions", "data"):
        if not isinstance(facts.get(name) or {}, dict):
            raise DataError(f"{run.facts} is damaged: {name} must be an object")
    if not all(isinstance(counts, dict) for counts in (facts.get("data") or {}).values()):
        raise DataError(f"{run.facts} is damaged: data must be objects by data set")
    return facts


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def number(value: Any) -> float | None:
    """Returns a finite number, or None: a gap stays visible, and NaN is a gap."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _whole(value: Any) -> int | None:
    finite = number(value)
    return None if finite is None else int(finite)


def numbers(values: Mapping[str, Any] | None) -> dict[str, float]:
    finite = {name: number(value) for name, value in (values or {}).items()}
    return {name: value for name, value in finite.items() if value is not None}
