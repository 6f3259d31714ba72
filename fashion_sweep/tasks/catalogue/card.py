"""Writes the model card of a sweep's adapter: the verdict of the run, and the trial's metrics."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.handover.model_card import cell, corrected_values
from fashion_sweep.handover.task_card import TaskCard
from fashion_sweep.metrics.metric import Metric, metrics_of
from fashion_sweep.report.markdown import plain
from fashion_sweep.report.results import Evaluation, TrialResult
from fashion_sweep.report.words import GAP


def card_of(config: RunConfig, trial: TrialResult, verdicts: Mapping[str, Any]) -> TaskCard:
    """Returns the card of a trial; `verdicts` are by evaluation set as in `results.json`, None where there is none."""
    sections = {"Verdict": list(_verdicts(trial, verdicts)), "Metrics": _metrics(config, trial, verdicts)}
    return TaskCard(sections, prompt="a woman in a long-sleeved cotton shirt")


def _verdicts(trial: TrialResult, verdicts: Mapping[str, Any]) -> Iterable[str]:
    reached = [verdict for verdict in verdicts.values() if verdict]
    for verdict in reached:
        title = trial.spec.configuration.title
        if title == verdict.get("chosen"):
            place = "This is the chosen configuration."
        elif title == verdict.get("best"):
            place = "This configuration leads, without being shown to."
        else:
            place = f"This is another configuration of that run, not the one that leads ({verdict.get('best')})."
        yield plain(f"{verdict.get('sentence', '')} {verdict.get('basis', '')} {place}")
    if not reached:
        yield f"The run came to no verdict{' on ' + ' or '.join(verdicts) if verdicts else ''}."


def _metrics(config: RunConfig, trial: TrialResult, verdicts: Mapping[str, Any]) -> list[str]:
    if not trial.evaluations:
        return ["Not judged."]
    metrics = metrics_of(config.sweep.metrics)
    headings = [one.heading(less_bias) for one in metrics for less_bias in (False, True)[: 1 + one.is_biased]]
    columns = ("judged on", *headings, "extractor", "CLIP model", "n")
    rows = []
    for name, judged in trial.evaluations.items():
        values = _values(judged, metrics, corrected_values(verdicts.get(name), trial))
        judged_on = f"{name} (what it was trained on)" if name == config.preset.training_set else f"{name} prompts"
        count = GAP if judged.samples is None else f"{judged.samples:,}"
        rows.append((judged_on, *values, cell(judged.features), cell(judged.clip_model), count))
    notes = ["n images, on prompts and noise that all trials of the run share."]
    notes += [f"{one.title}∞ is {one.title} less its bias at n images." for one in metrics if one.is_biased]
    notes.append("Numbers compare only with those of the same extractor, CLIP model and n.")
    lines = [columns, tuple("---" for _ in columns), *rows]
    return ["\n".join("| " + " | ".join(line) + " |" for line in lines), " ".join(notes)]


def _values(judged: Evaluation, metrics: Sequence[Metric], corrected: Mapping[str, float]) -> list[str]:
    cells = list[str]()
    for metric in metrics:
        values = [judged.value(metric), *([corrected.get(metric.name)] if metric.is_biased else [])]
        cells += [GAP if value is None else metric.shown(value) for value in values]
    return cells
