"""Loss curves of a run's trials in one plot."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.report.results import Results, TrialResult, number
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json_lines

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", ":", "-.")
"""The line styles: with the colours, 28 curves that differ without relying on colour alone."""
ASTRAY = 1.5
"""The multiple of the median of all trials' last losses from which a trial has gone astray."""
Series = list[tuple[float, float]]


def loss_figure(run: RunPaths, results: Results) -> Figure | None:
    """Plots validation loss as lines, smoothed training loss faint behind; the scale is the validation loss's."""
    curves, lost = [], list[str]()
    for trial in results.trials:
        lines = read_json_lines(run.trial(trial.spec.trial_id).metrics, partial(_note, lost, trial.title))
        if lines and (curve := (trial, _series(lines, "train_loss"), _series(lines, "val_loss")))[1:] != ([], []):
            curves.append(curve)
    if not curves:
        return None
    configurations = list(dict.fromkeys(trial.spec.configuration for trial, _, _ in curves))
    many = len(configurations) > 8
    figure = Figure(figsize=(10, max(4.6, 0.8 + 0.21 * len(configurations)) if many else 4.6), layout="constrained")
    axes = figure.subplots()
    handles: dict[TrialSpec, tuple[float, Any]] = {}
    for trial, training, validation in curves:
        style = _style(configurations.index(trial.spec.configuration))
        if training:
            smoothed = _smoothed([loss for _, loss in training])
            faint = {**style, "linestyle": "-", "alpha": 0.1 if many else 0.25, "linewidth": 0.8}
            axes.plot([step for step, _ in training], smoothed, **faint)
        steps, losses = zip(*validation, strict=True) if validation else ((), ())
        label = trial.spec.configuration.title
        (line,) = axes.plot(steps, losses, linewidth=1.8, marker="o", markersize=3, label=label, **style)
        handles.setdefault(trial.spec.configuration, (losses[-1] if losses else np.inf, line))
    title = "Validation loss (lines) and smoothed training loss (faint)"
    if lost:
        title += f"\nsteps are missing, since metrics.jsonl was damaged: {', '.join(lost)}"
    axes.set(xlabel="step", ylabel="loss", title=title)
    if limits := _limits([(trial, validation) for trial, _, validation in curves]):
        axes.set_ylim(*limits)
    ordered = [line for _, line in sorted(handles.values(), key=lambda item: -item[0])]
    figure.legend(handles=ordered, loc="outside right upper", frameon=False, fontsize=8.5 if many else 9.5,
                  title="highest at the end first", title_fontsize=9, alignment="left", handlelength=4)  # fmt: skip
    return figure


def _note(lost: list[str], title: str, _: str) -> None:
    lost.append(title)


def _style(index: int) -> dict[str, Any]:
    return {"color": COLOURS[index % len(COLOURS)], "linestyle": LINES[index // len(COLOURS) % len(LINES)]}


def _limits(curves: Sequence[tuple[TrialResult, Series]]) -> tuple[float, float] | None:
    """Returns the limits of the plot: what the validation losses span after the first report.
    Before that no trial differs from another. A trial that went astray leaves the scale, lest it flatten all others."""
    short = all(len(series) <= 2 for _, series in curves)
    later = [loss for _, series in curves for _, loss in (series if short else series[1:] or series)]
    if not later:
        return None
    low, middle, high = min(later), float(np.quantile(later, 0.75)), max(later)
    ends = [series[-1][1] for _, series in curves if series]
    usual = float(np.median(ends))
    high = min(high, max([middle + 2 * max(middle - low, 1e-9), *(end for end in ends if end < ASTRAY * usual)]))
    pad = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    return low - pad, high + pad


def _series(lines: Sequence[Mapping[str, Any]], key: str) -> Series:
    """Returns steps and finite values; a step reported again after a restart counts once, with its last value."""
    pairs = ((number(line.get("step")), number(line.get(key))) for line in lines)
    return sorted({step: value for step, value in pairs if step is not None and value is not None}.items())


def _smoothed(values: Sequence[float], memory: float = 0.8) -> list[float]:
    """Returns the exponential moving average with its start corrected, as Adam does."""
    smoothed, average = [], 0.0
    for index, value in enumerate(values, start=1):
        average = memory * average + (1 - memory) * value
        smoothed.append(average / (1 - memory**index))
    return smoothed
