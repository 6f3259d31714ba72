"""The plot of several runs: quality against size, a colour and a marker for each run."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fashion_sweep.report.conclusion import Interval
from fashion_sweep.report.losses import COLOURS
from fashion_sweep.report.plots import BETTER, CLIP_SCORE, FID, logarithmic, margin, own_style, write_figure
from fashion_sweep.report.points import Point

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SHIFT = 1.13
"""Factor between the sizes at which runs show one number of parameters, so that their bars lie beside each other."""


def write_plot(stem: Path, titles: Mapping[str, str], shown: Mapping[str, Sequence[Point]]) -> Path | None:
    """None where there is nothing to draw.

    Args:
        titles: by metric.
        shown: points on one evaluation set, by run.
    """
    if not any(point.parameters and (point.fid or point.clip_score) for found in shown.values() for point in found):
        return None
    with own_style():
        figure = Figure(figsize=(10, 4.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw(left, shown, lambda point: point.fid)
        _draw(right, shown, lambda point: point.clip_score)
        for axes, metric in ((left, FID), (right, CLIP_SCORE)):
            axes.set(xlabel="trained parameters", ylabel=f"{metric} ({BETTER[metric]})", title=titles[metric])
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9.5)
        return write_figure(stem, figure)


def _draw(axes: Axes, shown: Mapping[str, Sequence[Point]], of: Callable[[Point], Interval | None]) -> None:
    sizes, values = [], []
    for index, (run, found) in enumerate(shown.items()):
        colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
        known = [(point.parameters, value) for point in found if point.parameters and (value := of(point))]
        shift = SHIFT ** (index - (len(shown) - 1) / 2)
        axes.errorbar(
            [size * shift for size, _ in known],
            [value.value for _, value in known],
            yerr=[[value.value - value.low for _, value in known], [value.high - value.value for _, value in known]],
            fmt=marker,
            color=colour,
            ecolor=colour + "66",
            capsize=3,
            markersize=6,
            label=run,
        )
        base = next((value for point in found if point.parameters == 0 and (value := of(point))), None)
        if base is not None:
            axes.axhline(base.value, color=colour, linestyle="--", linewidth=1.2, label=f"{run}: base model")
        sizes += [size for size, _ in known]
        values += [value for _, value in known] + ([] if base is None else [base])
    if sizes:
        logarithmic(axes, sizes)
    margin(axes, values)
