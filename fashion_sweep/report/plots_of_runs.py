"""The plot of several runs: quality against size, a colour and a marker for each run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from fashion_sweep.metrics.metric import Metric
from fashion_sweep.report.configurations import Configuration
from fashion_sweep.report.labels import label_points, numbered, write_key
from fashion_sweep.report.losses import COLOURS
from fashion_sweep.report.plots import axis_title, logarithmic, margin, own_style, write_figure

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SHIFT = 1.13
"""The factor between the sizes at which runs show one number of parameters, so that bars lie beside each other."""


def write_plot(
    stem: Path, metrics: Sequence[Metric], titles: Mapping[str, str], shown: Mapping[str, Sequence[Configuration]]
) -> Path | None:
    """Writes the plot of several runs; returns None where there is nothing to draw.

    Args:
        stem: of the files.
        metrics: those of all runs' verdicts.
        titles: by metric.
        shown: configurations on one evaluation set, by run.
    """
    if not any(one.parameters and one.metrics for of_run in shown.values() for one in of_run):
        return None
    labels = numbered(list(dict.fromkeys(one.title for of_run in shown.values() for one in of_run if one.parameters)))
    with own_style():
        figure = Figure(figsize=(5 * max(len(metrics), 1.4), 4.8), layout="constrained")
        plots = figure.subplots(1, len(metrics), squeeze=False)[0]
        for axes, metric in zip(plots, metrics, strict=True):
            _draw(axes, shown, metric)
            axes.set(xlabel="trained parameters", ylabel=axis_title(metric), title=titles[metric.name])
        handles, runs = plots[0].get_legend_handles_labels()
        figure.legend(handles, runs, loc="outside lower center", ncols=2, frameon=False, fontsize=9.5)
        write_key(figure, labels)
        for axes, metric in zip(plots, metrics, strict=True):
            _label(axes, shown, metric, labels)
        return write_figure(stem, figure)


def _draw(axes: Axes, shown: Mapping[str, Sequence[Configuration]], metric: Metric) -> None:
    sizes, values = [], []
    for index, (run, of_run) in enumerate(shown.items()):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        points = [(one.parameters, value) for one in of_run if one.parameters and (value := one.value(metric))]
        shift = _shift(index, len(shown))
        axes.errorbar(
            [size * shift for size, _ in points],
            [value.value for _, value in points],
            yerr=[[value.value - value.low for _, value in points], [value.high - value.value for _, value in points]],
            fmt=marker,
            color=colour,
            ecolor=colour + "66",
            capsize=3,
            markersize=6,
            label=run,
        )
        base = next((one.value(metric) for one in of_run if one.parameters == 0), None)
        if base is not None:
            axes.axhline(base.value, color=colour, linestyle="--", linewidth=1.2, label=f"{run}: base model")
        sizes += [size for size, _ in points]
        values += [value for _, value in points] + ([] if base is None else [base])
    if sizes:
        logarithmic(axes, sizes)
    margin(axes, values)


def _shift(index: int, runs: int) -> float:
    """Returns the factor by which the points of a run are moved along the sizes."""
    return float(SHIFT ** (index - (runs - 1) / 2))


def _label(axes: Axes, shown: Mapping[str, Sequence[Configuration]], metric: Metric, labels: Mapping[str, str]) -> None:
    """Labels the points of all runs, once everything else is drawn."""
    points = [
        (one.parameters * _shift(index, len(shown)), value, labels[one.title])
        for index, of_run in enumerate(shown.values())
        for one in of_run
        if one.parameters and (value := one.value(metric))
    ]
    bars = [Bbox([[size, value.low], [size, value.high]]) for size, value, _ in points]
    label_points(axes, [(size, value.value, label) for size, value, label in points], bars)
