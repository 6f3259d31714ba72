"""Plots of a run, as PNG and SVG: quality against size, and loss curves.

Colours are Okabe and Ito's, which readers with any common colour blindness tell apart.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from fashion_sweep.files import read_json_lines, replacing
from fashion_sweep.paths import RunPaths
from fashion_sweep.report.results import Results, TrialResult, number

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", ":", "-.")
"""With the colours, 28 curves that differ without relying on colour alone."""
GREY = "#6b6b6b"
STYLE: Any = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "svg.hashsalt": "fashion_sweep",  # the same run gives the same file
}


def write_plots(run: RunPaths, results: Results) -> list[Path]:
    """Writes all plots that the run has numbers for; the PNG files, in the order to show them."""
    with matplotlib.rc_context(STYLE):
        figures = {f"parameters-{name}": _quality(results, name) for name in results.config.sweep.judge}
        figures["loss"] = _losses(run, results)
        return [_write(run.plots / name, figure) for name, figure in figures.items() if figure is not None]


def _write(stem: Path, figure: Figure) -> Path:
    for suffix, metadata in ((".svg", {"Date": None}), (".png", None)):
        with replacing(stem.with_suffix(suffix)) as temporary:
            figure.savefig(temporary, dpi=150, metadata=metadata)
    return stem.with_suffix(".png")


def _quality(results: Results, name: str) -> Figure | None:
    """FID and CLIP score against the number of trained parameters."""
    if not any(judged.fid is not None or judged.clip_score is not None for judged in results.judgements(name)):
        return None
    judged = results.judgements(name)[0]
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    features, clip = judged.features or "unknown", judged.clip_model or "unknown model"
    _against_parameters(left, results, {trial.title: trial.judged(name).fid for trial in results.trials})
    left.set(
        ylabel="FID (lower is better)", title=f"FID on {name}, {features} features, {judged.samples or '?'} images"
    )
    _against_parameters(right, results, {trial.title: trial.judged(name).clip_score for trial in results.trials})
    right.set(ylabel="CLIP score (higher is better)", title=f"CLIP score on {name}, {clip}")
    for axes in (left, right):
        axes.title.set_fontsize(11)
    return figure


def _against_parameters(axes: Axes, results: Results, values: Mapping[str, float | None]) -> None:
    """Labelled points over a logarithmic axis; the base model, at 0 parameters, is a line across."""
    points = sorted(
        (trial.parameters, value, trial.title)
        for trial in results.trials
        if trial.parameters and (value := values[trial.title]) is not None
    )
    axes.set_xlabel("trained parameters")
    if points:
        axes.set_xscale("log")
        axes.plot([p for p, _, _ in points], [v for _, v, _ in points], "o", color=COLOURS[0], markersize=7)
        axes.set_xlim(points[0][0] / 2.5, points[-1][0] * 2.5)
        axes.xaxis.set_major_locator(LogLocator(base=10, numticks=8))
        axes.xaxis.set_minor_formatter(NullFormatter())
    _margin(axes, [value for _, value, _ in points])
    base = next((values[t.title] for t in results.trials if t.spec.is_base_model), None)
    if base is not None:
        _base_line(axes, base, [value for _, value, _ in points])
    _label_points(axes, points)


def _margin(axes: Axes, values: Sequence[float]) -> None:
    """Room for labels, and no drama made of differences in the third digit."""
    if values:
        low, high = min(values), max(values)
        pad = max(0.18 * (high - low), 0.02 * abs(high), 1e-9)
        axes.set_ylim(max(low - pad, 0) if low >= 0 else low - pad, high + 1.4 * pad)


def _base_line(axes: Axes, base: float, values: Sequence[float]) -> None:
    """Across the plot; only noted in a corner where the line would press three or more points into a quarter of it."""
    spread = max(values) - min(values) if values else 0.0
    reach = max([base, *values]) - min([base, *values])
    if len(values) > 2 and spread < reach / 4:
        above = base > max(values)
        text = f"base model: {base:.2f}, off the scale {'↑' if above else '↓'}"
        axes.text(
            0.98,
            0.97 if above else 0.03,
            text,
            transform=axes.transAxes,
            color=GREY,
            ha="right",
            va="top" if above else "bottom",
        )
        return
    _margin(axes, [base, *values])
    axes.axhline(base, color=GREY, linestyle="--", linewidth=1.5)
    axes.annotate(f"base model {base:.2f}", (0.98, base), xycoords=("axes fraction", "data"), xytext=(0, 5),
                  textcoords="offset points", color=GREY, ha="right")  # fmt: skip


def _label_points(axes: Axes, points: Sequence[tuple[int, float, str]]) -> None:
    """Titles above or below the points, whichever covers less of the other points and of the titles before."""
    to_axes = axes.transData + axes.transAxes.inverted()
    centres = [to_axes.transform((parameters, value)) for parameters, value, _ in points]
    taken = [Bbox.from_bounds(x - 0.01, y - 0.01, 0.02, 0.02) for x, y in centres]
    for (x, y), (parameters, value, title) in zip(centres, points, strict=True):
        width, height = 0.0175 * len(title), 0.06
        boxes = [Bbox.from_bounds(x - width / 2, bottom, width, height) for bottom in (y + 0.02, y - 0.02 - height)]
        covered = [sum(_common_area(box, other) for other in taken) for box in boxes]
        below = bool(covered[1] < covered[0])
        taken.append(boxes[below])
        axes.annotate(title, (parameters, value), xytext=(0, -8 if below else 8), textcoords="offset points",
                      ha="center", va="top" if below else "bottom", fontsize=9.5)  # fmt: skip


def _common_area(a: Bbox, b: Bbox) -> float:
    common = Bbox.intersection(a, b)
    return common.width * common.height if common else 0.0


def _losses(run: RunPaths, results: Results) -> Figure | None:
    """Validation loss as lines, smoothed training loss faint behind it."""
    curves = [(trial, read_json_lines(run.trial(trial.spec.trial_id).metrics)) for trial in results.trials]
    figure = Figure(figsize=(8, 4.4), layout="constrained")
    axes = figure.subplots()
    drawn = 0
    for trial, lines in curves:
        colour, line = COLOURS[drawn % len(COLOURS)], LINES[drawn // len(COLOURS) % len(LINES)]
        drawn += _curve(axes, trial, lines, colour, line)
    if not drawn:
        return None
    axes.set(xlabel="step", ylabel="loss", title="Validation loss (lines) and smoothed training loss (faint)")
    axes.title.set_fontsize(11)
    axes.legend(frameon=False, fontsize=9.5)
    return figure


def _curve(axes: Axes, trial: TrialResult, lines: Sequence[Mapping[str, Any]], colour: str, line: str) -> bool:
    """Whether there was anything to draw."""
    training, validation = _series(lines, "train_loss"), _series(lines, "val_loss")
    if training:
        axes.plot(
            [step for step, _ in training],
            _smoothed([loss for _, loss in training]),
            color=colour,
            alpha=0.3,
            linewidth=1.2,
        )
    if validation:
        axes.plot(
            *zip(*validation, strict=True),
            color=colour,
            linestyle=line,
            linewidth=2,
            marker="o",
            markersize=4,
            label=trial.title,
        )
    return bool(training or validation)


def _series(lines: Sequence[Mapping[str, Any]], key: str) -> list[tuple[float, float]]:
    """Steps and finite values; a step reported again after a restart counts once, with its last value."""
    known = ((number(line.get("step")), number(line.get(key))) for line in lines)
    return sorted({step: value for step, value in known if step is not None and value is not None}.items())


def _smoothed(values: Sequence[float], memory: float = 0.8) -> list[float]:
    """Exponential moving average with its start corrected, as Adam does."""
    smoothed, average = [], 0.0
    for index, value in enumerate(values, start=1):
        average = memory * average + (1 - memory) * value
        smoothed.append(average / (1 - memory**index))
    return smoothed
