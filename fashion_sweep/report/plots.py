"""Plots of a run, as PNG and SVG: quality against size, one quality against the other, and loss curves.

Colours are Okabe and Ito's, which readers with any common colour blindness tell apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from fashion_sweep.metrics.metric import Metric
from fashion_sweep.report.blocks import Picture
from fashion_sweep.report.configurations import Configuration, configurations
from fashion_sweep.report.labels import MOST_TITLES, label_points, numbered, write_key
from fashion_sweep.report.losses import loss_figure
from fashion_sweep.report.results import Evaluation, Results
from fashion_sweep.report.verdict import Interval, Verdict, Verdicts
from fashion_sweep.report.words import joined
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import replacing

BLUE, GREY = "#0072B2", "#6b6b6b"
STYLE: Any = {
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "svg.hashsalt": "fashion_sweep",  # the same run gives the same file
}


def write_plots(run: RunPaths, results: Results, verdicts: Verdicts) -> tuple[list[Picture], Path | None]:
    """Writes all plots that the run has numbers for; returns pictures in the order to show them, and the losses."""
    with own_style():
        pictures = []
        for name in results.config.sweep.judge:
            verdict = verdicts.get(name)
            bars = ", with 95 % intervals and the Pareto front" if verdict else ""
            shown = configurations(results, name, verdict)
            for stem, (subject, figure) in _figures(results, name, shown, verdict).items():
                if figure is not None:
                    pictures.append(Picture(write_figure(run.plots / stem, figure), f"{subject} on {name}{bars}"))
        losses = loss_figure(run, results)
        return pictures, None if losses is None else write_figure(run.plots / "loss", losses)


def _figures(
    results: Results, name: str, shown: Sequence[Configuration], verdict: Verdict | None
) -> dict[str, tuple[str, Figure | None]]:
    """Makes each plot, with what it shows, by file name.
    The metrics of the verdict come against size, then against each other."""
    first, *others = results.deciding(name)
    titles = joined([metric.title for metric in (first, *others)])
    size = _quality(results, name, shown, verdict)
    figures = {f"parameters-{name}": (f"{titles} against the number of trained parameters", size)}
    for metric in others:
        stem = f"quality-{name}" if metric is others[0] else f"quality-{name}-{metric.name}"
        figure = _trade_off(results, name, (first, metric), shown, verdict)
        figures[stem] = (f"{metric.title} against {first.title}", figure)
    return figures


@contextmanager
def own_style() -> Iterator[None]:
    """Sets `STYLE` on matplotlib's defaults, whatever a `matplotlibrc` here or at home says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def write_figure(stem: Path, figure: Figure) -> Path:
    for suffix, metadata in ((".svg", {"Date": None}), (".png", None)):
        with replacing(stem.with_suffix(suffix)) as temporary:
            figure.savefig(temporary, dpi=150, metadata=metadata, bbox_inches="tight", pad_inches=0.1)
    return stem.with_suffix(".png")


def _quality(results: Results, name: str, shown: Sequence[Configuration], verdict: Verdict | None) -> Figure | None:
    """Plots the metrics of the verdict against the number of trained parameters, side by side."""
    metrics = results.deciding(name)
    if not any(one.metrics for one in shown):
        return None
    judged = results.evaluations_on(name)
    labels = numbered([one.title for one in shown])
    few = len(shown) <= MOST_TITLES
    width = (5 if few else 6.5) * max(len(metrics), 1.4)
    figure = Figure(figsize=(width, 4.6 if few else 5.4), layout="constrained")
    plots = figure.subplots(1, len(metrics), squeeze=False)[0]
    for axes, metric in zip(plots, metrics, strict=True):
        axes.set(title=f"{_less_bias(metric, verdict)} on {name}: {_source(metric, judged, shown)}")
    _legend(figure, verdict)
    write_key(figure, labels)
    for axes, metric in zip(plots, metrics, strict=True):
        against_parameters(axes, shown, metric, labels)
    return figure


def axis_title(metric: Metric) -> str:
    return f"{metric.title} ({metric.better} is better)"


def _less_bias(metric: Metric, verdict: Verdict | None) -> str:
    return metric.title + (" less its bias" if verdict and metric.is_biased else "")


def _source(metric: Metric, judged: Sequence[Evaluation], shown: Sequence[Configuration]) -> str:
    """Says what a metric is measured by; and on how many images, where that is one number."""
    source = judged[0].source(metric).removeprefix("on ").removeprefix("by ")
    if not metric.compares_features or len(counts := {one.images for one in shown}) > 1:
        return source
    return f"{source}, {counts.pop() or '?'} images"


def against_parameters(axes: Axes, shown: Sequence[Configuration], metric: Metric, labels: Mapping[str, str]) -> None:
    """Draws labelled points over a logarithmic axis; the base model, at 0 parameters, is a line across."""
    points = [(one, one.parameters, value) for one in shown if one.parameters and (value := one.value(metric))]
    axes.set(xlabel="trained parameters", ylabel=axis_title(metric))
    for one, size, value in points:
        draw_point(axes, one, Interval(size, size, size), value)
    if points:
        logarithmic(axes, [size for _, size, _ in points])
    values = [value for _, _, value in points]
    margin(axes, values)
    base = next((one.value(metric) for one in shown if one.parameters == 0), None)
    if base is not None:
        _base_line(axes, metric, base, values)
    points.sort(key=lambda item: not item[0].on_front)
    bars = [Bbox([[size, value.low], [size, value.high]]) for _, size, value in points]
    label_points(axes, [(size, value.value, labels[one.title]) for one, size, value in points], bars)


def _trade_off(
    results: Results,
    name: str,
    metrics: tuple[Metric, Metric],
    shown: Sequence[Configuration],
    verdict: Verdict | None,
) -> Figure | None:
    """Plots the second metric against the first: what lies in one corner is good in both."""
    across, up = metrics
    points = [(one, x, y) for one in shown if (x := one.value(across)) and (y := one.value(up))]
    if len(points) < 2:
        return None
    judged = results.evaluations_on(name)
    labels = numbered([one.title for one in shown])
    figure = Figure(figsize=(8, 5.2) if len(shown) <= MOST_TITLES else (10, 5.6), layout="constrained")
    axes = figure.subplots()
    corner = f"{'lower' if up.better == 'lower' else 'upper'} {'left' if across.better == 'lower' else 'right'}"
    axes.set(
        xlabel=f"{_less_bias(across, verdict)}, {_source(across, judged, shown)} ({across.better} is better)",
        ylabel=f"{_less_bias(up, verdict)}, {_source(up, judged, shown)} ({up.better} is better)",
        title=f"{up.title} against {across.title} on {name}; {corner} is better in both",
    )
    _legend(figure, verdict)
    write_key(figure, labels)
    adapted, base = [item for item in points if item[0].parameters], [item for item in points if not item[0].parameters]
    if base and (_far(base[0][1], [x for _, x, _ in adapted]) or _far(base[0][2], [y for _, _, y in adapted])):
        _, x, y = base[0]
        values = f"{across.title} {across.shown(x.value)}, {up.title} {up.shown(y.value)}"
        note = f"base model: {values}, off the scale"
        axes.text(0.99, 0.01, note, transform=axes.transAxes, color=GREY, ha="right", va="bottom", fontsize=9.5)
        points = adapted
    bars = []
    for one, x, y in points:
        draw_point(axes, one, x, y)
        bars += [Bbox([[x.low, y.value], [x.high, y.value]]), Bbox([[x.value, y.low], [x.value, y.high]])]
    axes.margins(0.12)
    points.sort(key=lambda item: not item[0].on_front)
    label_points(axes, [(x.value, y.value, labels[one.title]) for one, x, y in points], bars)
    return figure


def draw_point(axes: Axes, point: Configuration, x: Interval, y: Interval, colour: str = BLUE) -> None:
    """Draws a marker with bars as long as the intervals; hollow where another configuration is shown to be better."""
    axes.errorbar(
        x.value,
        y.value,
        xerr=[[x.value - x.low], [x.high - x.value]] if x.high > x.low else None,
        yerr=[[y.value - y.low], [y.high - y.value]] if y.high > y.low else None,
        fmt="o" if point.parameters else "s",
        color=colour,
        ecolor=colour + "66",
        elinewidth=1.3,
        capsize=3,
        markersize=7,
        markerfacecolor="white" if point.on_front is False else colour,
    )


def _legend(figure: Figure, verdict: Verdict | None) -> None:
    if verdict is None:
        return
    axes = figure.axes[0]
    trained = f"{verdict.seeds} training{'s' if verdict.seeds > 1 else ''}"
    handles = [
        axes.plot([], [], "o", color=BLUE, markerfacecolor=face, markersize=7, label=label)[0]
        for face, label in ((BLUE, "on the Pareto front, as measured"), ("white", "not on it"))
    ]
    fewest, most = min(verdict.images.values()), max(verdict.images.values())
    images = f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"
    bars = f"95 % interval: {images} images, {trained}"
    handles.append(axes.plot([], [], color=BLUE + "66", label=bars)[0])
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9.5)


def logarithmic(axes: Axes, sizes: Sequence[int]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 2.5, max(sizes) * 2.5)
    few_decades = max(sizes) < 30 * min(sizes)  # powers of ten alone would leave hardly a label
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5) if few_decades else (1,), numticks=8))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())


def margin(axes: Axes, values: Sequence[Interval]) -> None:
    """Leaves room for labels, and makes no drama of differences in the third digit."""
    if values:
        low, high = min(value.low for value in values), max(value.high for value in values)
        pad = max(0.18 * (high - low), 0.01 * abs(high), 1e-9)
        axes.set_ylim(max(low - pad, 0) if low >= 0 else low - pad, high + pad)


def _far(base: Interval, values: Sequence[Interval]) -> bool:
    """Returns whether showing the base model too would press three or more points into a third of the plot."""
    if len(values) < 3:
        return False
    low, high = min(value.low for value in values), max(value.high for value in values)
    return high - low < (max(high, base.high) - min(low, base.low)) / 3


def _base_line(axes: Axes, metric: Metric, base: Interval, values: Sequence[Interval]) -> None:
    """Draws the base model across the plot; it is only noted in a corner where it lies far off."""
    if _far(base, values):
        above = base.value > max(value.high for value in values)
        text = f"base model: {metric.shown(base.value)}, off the scale {'↑' if above else '↓'}"
        axes.text(0.98, 0.97 if above else 0.03, text, transform=axes.transAxes, color=GREY, ha="right",
                  va="top" if above else "bottom", fontsize=9.5)  # fmt: skip
        return
    margin(axes, [base, *values])
    axes.axhline(base.value, color=GREY, linestyle="--", linewidth=1.5)
    if base.high > base.low:
        axes.axhspan(base.low, base.high, color=GREY, alpha=0.12, linewidth=0)
    axes.annotate(f"base model {metric.shown(base.value)}", (0.98, base.value), xycoords=("axes fraction", "data"),
                  xytext=(0, 5), textcoords="offset points", color=GREY, ha="right", fontsize=9.5)  # fmt: skip
