"""Plots of a run, as PNG and SVG: quality against size, one quality against the other, and loss curves.

Colours are Okabe and Ito's, which readers with any common colour blindness tell apart.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from fashion_sweep.report.conclusion import Conclusion, Interval
from fashion_sweep.report.labels import MOST_TITLES, label_points, numbered, write_key
from fashion_sweep.report.losses import loss_figure
from fashion_sweep.report.points import Conclusions, Point, points
from fashion_sweep.report.results import Results
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
FID, CLIP_SCORE = "FID", "CLIP score"
BETTER = {FID: "lower is better", CLIP_SCORE: "higher is better"}


def write_plots(run: RunPaths, results: Results, conclusions: Conclusions) -> list[Path]:
    """Writes all plots that the run has numbers for; the PNG files, in the order to show them, the losses last."""
    with own_style():
        figures: dict[str, Figure | None] = {}
        for name in results.config.sweep.judge:
            conclusion = conclusions.get(name)
            shown = points(results, name, conclusion)
            figures[f"parameters-{name}"] = _quality(results, name, shown, conclusion)
            figures[f"quality-{name}"] = _trade_off(results, name, shown, conclusion)
        figures["loss"] = loss_figure(run, results)
        return [write_figure(run.plots / name, figure) for name, figure in figures.items() if figure is not None]


@contextmanager
def own_style() -> Iterator[None]:
    """`STYLE` on matplotlib's defaults, whatever a `matplotlibrc` here or at home says."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def write_figure(stem: Path, figure: Figure) -> Path:
    for suffix, metadata in ((".svg", {"Date": None}), (".png", None)):
        with replacing(stem.with_suffix(suffix)) as temporary:
            figure.savefig(temporary, dpi=150, metadata=metadata)
    return stem.with_suffix(".png")


def _quality(results: Results, name: str, shown: Sequence[Point], conclusion: Conclusion | None) -> Figure | None:
    """FID and CLIP score against the number of trained parameters."""
    if not any(point.fid or point.clip_score for point in shown):
        return None
    judged = results.judgements(name)[0]
    labels = numbered([point.title for point in shown])
    figure = Figure(figsize=(10, 4.6) if len(shown) <= MOST_TITLES else (13, 5.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    fid = f"FID{' less its bias' if conclusion else ''}"
    left.set(title=f"{fid} on {name}: {judged.features or 'unknown'} features, {judged.samples or '?'} images")
    right.set(title=f"CLIP score on {name}: {judged.clip_model or 'unknown model'}")
    _legend(figure, conclusion)
    write_key(figure, labels)
    against_parameters(left, shown, FID, labels, lambda point: point.fid)
    against_parameters(right, shown, CLIP_SCORE, labels, lambda point: point.clip_score)
    return figure


def against_parameters(
    axes: Axes,
    shown: Sequence[Point],
    metric: str,
    labels: Mapping[str, str],
    of: Callable[[Point], Interval | None],
) -> None:
    """Labelled points over a logarithmic axis; the base model, at 0 parameters, is a line across."""
    known = [(point, point.parameters, value) for point in shown if point.parameters and (value := of(point))]
    axes.set(xlabel="trained parameters", ylabel=f"{metric} ({BETTER[metric]})")
    for point, size, value in known:
        draw_point(axes, point, Interval(size, size, size), value)
    if known:
        logarithmic(axes, [size for _, size, _ in known])
    values = [value for _, _, value in known]
    margin(axes, values)
    base = next((of(point) for point in shown if point.parameters == 0), None)
    if base is not None:
        _base_line(axes, base, values)
    known.sort(key=lambda item: not item[0].on_front)
    bars = [Bbox([[size, value.low], [size, value.high]]) for _, size, value in known]
    label_points(axes, [(size, value.value, labels[point.title]) for point, size, value in known], bars)


def _trade_off(results: Results, name: str, shown: Sequence[Point], conclusion: Conclusion | None) -> Figure | None:
    """CLIP score against FID: what lies at the upper left is good in both."""
    known = [(point, point.fid, point.clip_score) for point in shown if point.fid and point.clip_score]
    if len(known) < 2:
        return None
    judged = results.judgements(name)[0]
    labels = numbered([point.title for point in shown])
    figure = Figure(figsize=(8, 5.2) if len(shown) <= MOST_TITLES else (10, 5.6), layout="constrained")
    axes = figure.subplots()
    fid = f"FID{' less its bias' if conclusion else ''}"
    axes.set(
        xlabel=f"{fid}, {judged.features or 'unknown'} features, {judged.samples or '?'} images (lower is better)",
        ylabel=f"CLIP score, {judged.clip_model or 'unknown model'} (higher is better)",
        title=f"CLIP score against FID on {name}; upper left is better in both",
    )
    _legend(figure, conclusion)
    write_key(figure, labels)
    adapted, base = [item for item in known if item[0].parameters], [item for item in known if not item[0].parameters]
    if base and (
        _far(base[0][1], [fid for _, fid, _ in adapted]) or _far(base[0][2], [score for _, _, score in adapted])
    ):
        _, x, y = base[0]
        note = f"base model: FID {x.value:.2f}, CLIP score {y.value:.2f}, off the scale"
        axes.text(0.99, 0.01, note, transform=axes.transAxes, color=GREY, ha="right", va="bottom", fontsize=9.5)
        known = adapted
    bars = []
    for point, x, y in known:
        draw_point(axes, point, x, y)
        bars += [Bbox([[x.low, y.value], [x.high, y.value]]), Bbox([[x.value, y.low], [x.value, y.high]])]
    axes.margins(0.12)
    known.sort(key=lambda item: not item[0].on_front)
    label_points(axes, [(x.value, y.value, labels[point.title]) for point, x, y in known], bars)
    return figure


def draw_point(axes: Axes, point: Point, x: Interval, y: Interval, colour: str = BLUE) -> None:
    """A marker with bars as long as the intervals; hollow where another configuration is shown to be better."""
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


def _legend(figure: Figure, conclusion: Conclusion | None) -> None:
    if conclusion is None:
        return
    axes = figure.axes[0]
    trained = f"{conclusion.seeds} training{'s' if conclusion.seeds > 1 else ''}"
    handles = [
        axes.plot([], [], "o", color=BLUE, markerfacecolor=face, markersize=7, label=label)[0]
        for face, label in ((BLUE, "on the Pareto front, as measured"), ("white", "not on it"))
    ]
    bars = f"95 % interval: {conclusion.images:,} images, {trained}"
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
    """Room for labels, and no drama made of differences in the third digit."""
    if values:
        low, high = min(value.low for value in values), max(value.high for value in values)
        pad = max(0.18 * (high - low), 0.01 * abs(high), 1e-9)
        axes.set_ylim(max(low - pad, 0) if low >= 0 else low - pad, high + pad)


def _far(base: Interval, values: Sequence[Interval]) -> bool:
    """Whether showing the base model too would press three or more points into a third of the plot."""
    if len(values) < 3:
        return False
    low, high = min(value.low for value in values), max(value.high for value in values)
    return high - low < (max(high, base.high) - min(low, base.low)) / 3


def _base_line(axes: Axes, base: Interval, values: Sequence[Interval]) -> None:
    """Across the plot; only noted in a corner where it lies far off."""
    if _far(base, values):
        above = base.value > max(value.high for value in values)
        text = f"base model: {base.value:.2f}, off the scale {'↑' if above else '↓'}"
        axes.text(0.98, 0.97 if above else 0.03, text, transform=axes.transAxes, color=GREY, ha="right",
                  va="top" if above else "bottom", fontsize=9.5)  # fmt: skip
        return
    margin(axes, [base, *values])
    axes.axhline(base.value, color=GREY, linestyle="--", linewidth=1.5)
    if base.high > base.low:
        axes.axhspan(base.low, base.high, color=GREY, alpha=0.12, linewidth=0)
    axes.annotate(f"base model {base.value:.2f}", (0.98, base.value), xycoords=("axes fraction", "data"), xytext=(0, 5),
                  textcoords="offset points", color=GREY, ha="right", fontsize=9.5)  # fmt: skip
