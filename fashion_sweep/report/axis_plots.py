"""Plots of a sweep's axes: how much each matters, its slices, a heat map of two, parallel coordinates of all."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullFormatter

from fashion_sweep.metrics.metric import Metric
from fashion_sweep.report.blocks import Picture
from fashion_sweep.report.plots import BLUE, GREY, axis_title, draw_point, own_style, write_figure
from fashion_sweep.report.results import Results
from fashion_sweep.report.sweep_axes import AxisPoints, SweepAxis, points_of
from fashion_sweep.report.verdict import Interval, Verdicts
from fashion_sweep.run.paths import RunPaths

FEWEST = 4
"""The fewest configurations whose axes are shown."""
KINDS = ("axes", "parallel", "heat")
MOST_SLICES = 6
MOST_TICKS = 5
HALO = [withStroke(linewidth=3, foreground="white")]
SHADES = colormaps["viridis"]


def write_axes(run: RunPaths, results: Results, verdicts: Verdicts) -> list[Picture]:
    """Writes the plots of the sweep's axes, where it has more than one."""
    pictures = []
    with own_style():
        for name in results.config.sweep.judge:
            points = points_of(results, name, verdicts.get(name))
            figures = axis_figures(points, results.deciding(name), name)
            for kind in KINDS:  # of an earlier report
                for path in run.plots.glob(f"{kind}-{name}.*") if f"{kind}-{name}" not in figures else ():
                    path.unlink()
            for stem, (shows, figure) in figures.items():
                pictures.append(Picture(write_figure(run.plots / stem, figure), shows))
    return pictures


def axis_figures(points: AxisPoints, metrics: Sequence[Metric], name: str) -> dict[str, tuple[str, Figure]]:
    """Makes the plots of axes, with what each shows, by the stem of its file; none where there is one axis alone."""
    if len(points.axes) < 2 or len(points.shown) < FEWEST:
        return {}
    figures = {
        f"axes-{name}": (f"Each axis by itself on {name}, and the share of the variance that goes with it",
                         _slices(points, metrics, name)),
        f"parallel-{name}": (f"Each configuration on {name} as a line through its values",
                             _parallel(points, metrics, name)),
    }  # fmt: skip
    if heat := _heat_map(points, metrics, name):
        figures[f"heat-{name}"] = (
            f"Mean of the configurations on {name} by the two axes that matter most together, over all others",
            heat,
        )
    return figures


def _images(points: AxisPoints, name: str) -> str:
    return name if points.images is None else f"{name}, {points.images:,} images each"


def _by_weight(points: AxisPoints, metric: Metric) -> list[SweepAxis]:
    """Returns the axes, those first that matter most."""

    def weight(axis: SweepAxis) -> float:
        found = points.importance(axis, metric)
        return -1.0 if isinstance(found, str) else found.value

    return sorted(points.axes, key=weight, reverse=True)


def _slices(points: AxisPoints, metrics: Sequence[Metric], name: str) -> Figure:
    """Draws, for each metric, a bar for each axis' importance, and the values along each axis."""
    axes = _by_weight(points, metrics[0])[:MOST_SLICES]
    figure = Figure(figsize=(3.2 + 2.5 * len(axes), 3.4 * len(metrics)), layout="constrained")
    plots = figure.subplots(len(metrics), len(axes) + 1, squeeze=False)
    for row, metric in zip(plots, metrics, strict=True):
        _importances(row[0], points, axes, metric)
        for place, (plot, axis) in enumerate(zip(row[1:], axes, strict=True)):
            _slice(plot, points, axis, metric)
            plot.set_ylabel(axis_title(metric) if place == 0 else "")
            plot.sharey(row[1])
            plot.tick_params(labelleft=place == 0)
    figure.suptitle(f"Axes on {_images(points, name)}; bars are 95 % intervals", fontsize=11)
    return figure


def _importances(plot: Axes, points: AxisPoints, axes: Sequence[SweepAxis], metric: Metric) -> None:
    for place, axis in enumerate(reversed(axes)):
        found = points.importance(axis, metric)
        if isinstance(found, str):
            plot.text(0.02, place, found, color=GREY, fontsize=9, va="center")
            continue
        plot.barh(place, found.value, color=BLUE, height=0.6)
        if found.high > found.low:
            error = [[found.value - found.low], [found.high - found.value]]
            plot.errorbar(found.value, place, xerr=error, color="black", capsize=3, elinewidth=1.2)
    plot.set(xlim=(0, 1), ylim=(-0.6, len(axes) - 0.4), xlabel="share of the variance", title=metric.title)
    plot.set_yticks(range(len(axes)), [axis.name for axis in reversed(axes)])


def _slice(plot: Axes, points: AxisPoints, axis: SweepAxis, metric: Metric) -> None:
    across = _positions(axis)
    shift = np.linspace(-0.15, 0.15, len(points.shown)) if not axis.is_numeric else np.zeros(len(points.shown))
    for one, x, apart in zip(points.shown, across, shift, strict=True):
        if (value := one.value(metric)) is not None:
            draw_point(plot, one, Interval(*[x + apart] * 3), value)
    plot.set_xlabel(axis.name)
    distinct = sorted(set(across))
    if axis.is_logarithmic:
        plot.set_xscale("log")
    if axis.is_numeric and (axis.is_logarithmic or len(distinct) <= MOST_TICKS):
        some = [distinct[at] for at in np.unique(np.linspace(0, len(distinct) - 1, MOST_TICKS).round().astype(int))]
        plot.set_xticks(some, [f"{value:.3g}" for value in some])
        plot.xaxis.set_minor_formatter(NullFormatter())
    elif not axis.is_numeric:
        slanted: dict[str, Any] = (
            {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if len(axis.levels) > 2 else {}
        )
        plot.set_xticks(range(len(axis.levels)), axis.levels, **slanted)
        plot.set_xlim(-0.5, len(axis.levels) - 0.5)
    plot.margins(0.15)


def _positions(axis: SweepAxis) -> list[float]:
    return [float(value) for value in axis.values] if axis.is_numeric else [float(place) for place in axis.places]


def _heat_map(points: AxisPoints, metrics: Sequence[Metric], name: str) -> Figure | None:
    """Draws the mean of each metric by the two axes that matter most together; None where no cell has two values."""
    pairs = [(share, pair) for pair in combinations(points.axes, 2) if (share := points.joint(*pair, metrics[0]))]
    if not pairs:
        return None
    first, second = max(pairs, key=lambda one: one[0])[1]
    columns, rows = len(first.levels), len(second.levels)
    figure = Figure(figsize=((1.6 + 1.1 * columns) * len(metrics) + 0.6, 1.6 + 0.7 * rows), layout="constrained")
    plots = figure.subplots(1, len(metrics), squeeze=False)[0]
    for plot, metric in zip(plots, metrics, strict=True):
        means = np.full((rows, columns), np.nan)
        for row, column in np.ndindex(means.shape):
            places = zip(points.shown, first.places, second.places, strict=True)
            own = [v.value for one, x, y in places if (x, y) == (column, row) and (v := one.value(metric))]
            means[row, column] = np.mean(own) if own else np.nan
        shades = SHADES.reversed() if metric.better == "lower" else SHADES
        image = plot.imshow(np.ma.masked_invalid(means), cmap=shades, aspect="auto", origin="lower")
        for row, column in np.ndindex(means.shape):
            value = means[row, column]
            dark = np.isfinite(value) and sum(image.cmap(image.norm(value))[:3]) < 1.4
            text = metric.shown(float(value)) if np.isfinite(value) else "–"
            plot.text(column, row, text, ha="center", va="center", color="white" if dark else "black")
        plot.set_xticks(range(columns), first.levels)
        plot.set_yticks(range(rows), second.levels)
        plot.set(xlabel=first.name, ylabel=second.name, title=f"{axis_title(metric)} on {_images(points, name)}")
        plot.grid(visible=False)
    return figure


def _parallel(points: AxisPoints, metrics: Sequence[Metric], name: str) -> Figure:
    """Draws a line for each configuration through its places on all axes and metrics, the best bright and on top."""
    metric, measured = metrics[0], [one for one in points.shown if one.value(metrics[0])]
    axes = _by_weight(points, metric)
    figure = Figure(figsize=(2.2 + 1.7 * (len(axes) + len(metrics)), 4.6), layout="constrained")
    plot = figure.subplots()
    columns = [_scaled(_positions(axis), axis.is_logarithmic) for axis in axes]
    numbers = {one.name: [v.value if (v := shown.value(one)) else np.nan for shown in points.shown] for one in metrics}
    columns += [_scaled(own, logarithmic=False) for own in numbers.values()]
    values = numbers[metric.name]
    norm = Normalize(float(np.nanmin(values)), float(np.nanmax(values)))
    shades = SHADES.reversed() if metric.better == "lower" else SHADES
    for index in sorted((points.shown.index(one) for one in measured), key=lambda at: -points.shown[at].rank(metric)):
        heights = [column[index] for column in columns]
        plot.plot(range(len(columns)), heights, color=shades(norm(values[index])), linewidth=1.8, alpha=0.85)
    for place, axis in enumerate(axes):
        _ticks(plot, place, axis, columns[place])
    for place, one in enumerate(metrics, start=len(axes)):
        own = [value for value in numbers[one.name] if np.isfinite(value)]
        for height, value in ((0, min(own)), (1, max(own))):
            plot.text(place + 0.04, height, one.shown(value), fontsize=9, va="center", path_effects=HALO, zorder=5)
    for place in range(len(columns)):
        plot.axvline(place, color=GREY, linewidth=1)
    plot.set_xticks(range(len(columns)), [*(axis.name for axis in axes), *(one.title for one in metrics)])
    plot.set(ylim=(-0.06, 1.06), xlim=(-0.2, len(columns) - 0.6), yticks=[])
    plot.set_title(f"Configurations on {_images(points, name)}, a line each")
    plot.grid(visible=False)
    figure.colorbar(ScalarMappable(norm, shades), ax=plot, label=axis_title(metric))
    return figure


def _scaled(values: Sequence[float], logarithmic: bool) -> list[float]:
    """Brings values to [0, 1]."""
    array = np.log(values) if logarithmic else np.array(values, float)
    low, high = np.nanmin(array), np.nanmax(array)
    return ((array - low) / (high - low if high > low else 1.0)).tolist()


def _ticks(plot: Axes, place: int, axis: SweepAxis, heights: Sequence[float]) -> None:
    labels = dict(zip(heights, axis.values, strict=True)) if axis.is_numeric else {}
    shown = {h: f"{v:.3g}" for h, v in labels.items()} if axis.is_numeric else {}
    if not axis.is_numeric:
        shown = {heights[axis.places.index(at)]: level for at, level in enumerate(axis.levels)}
    last = -1.0
    for height in sorted(shown):
        if height - last > 0.045:  # else it would lie over the one below
            plot.text(place + 0.04, height, shown[height], fontsize=9, va="center", path_effects=HALO, zorder=5)
            last = height
