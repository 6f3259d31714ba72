"""The picture of a race: how far each configuration was from the best, look by look."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from fashion_sweep.metrics.metric import Metric, metrics_of
from fashion_sweep.report.blocks import Picture
from fashion_sweep.report.losses import COLOURS
from fashion_sweep.report.plots import own_style, write_figure
from fashion_sweep.report.verdict import Interval, Verdict, Verdicts
from fashion_sweep.run.paths import RunPaths


def write_races(run: RunPaths, verdicts: Verdicts) -> list[Picture]:
    """Writes a picture of each race that had more than one look."""
    pictures = []
    with own_style():
        for name, verdict in verdicts.items():
            if len(verdict.looks) > 1:
                path = write_figure(run.plots / f"race-{name}", race_figure(verdict))
                level = f"{verdict.margins.level:.0%}"
                said = (
                    f"Distance from the best on {name} at each look, within the bounds that the race goes by, which "
                    f"hold all together with {level} confidence; × is out, ○ is chosen"
                )
                pictures.append(Picture(path, said))
    return pictures


def race_figure(verdict: Verdict) -> Figure:
    """Draws how far each configuration was from the best at each look, by metric."""
    metrics = metrics_of(verdict.leaders)
    figure = Figure(figsize=(5 * max(len(metrics), 1.4), 4.4), layout="constrained")
    for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
        _draw(axes, verdict, metric)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9.5)
    return figure


def _draw(axes: Axes, verdict: Verdict, metric: Metric) -> None:
    looks, count = sorted(verdict.looks), len(verdict.standings)
    for number, (title, standing) in enumerate(verdict.standings.items()):
        course = _course(verdict, title, metric)
        if not course:
            continue
        place = 1.06 ** (number - (count - 1) / 2)  # so that bars lie beside each other
        x, colour = [place * images for images in course], COLOURS[number % len(COLOURS)]
        errors = [
            [one.value - one.low for one in course.values()],
            [one.high - one.value for one in course.values()],
        ]
        values = [one.value for one in course.values()]
        axes.errorbar(
            x, values, errors, color=colour, ecolor=colour + "88", capsize=2, linewidth=1.4, marker=".", label=title
        )
        if standing.state in ("out", "chosen"):
            marker, face = ("x", colour) if standing.state == "out" else ("o", "white")
            axes.plot(x[-1:], values[-1:], marker, color=colour, markerfacecolor=face, markersize=9)
    axes.axhline(0, color="#6b6b6b", linewidth=1)
    margin = verdict.margins.by_metric[metric.name]
    axes.axhline(margin, color="#6b6b6b", linestyle="--", linewidth=1)
    axes.annotate("margin", (0.99, margin), xycoords=("axes fraction", "data"), xytext=(0, 3),
                  textcoords="offset points", color="#6b6b6b", ha="right", fontsize=9)  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks(looks, [f"{images:,}" for images in looks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set(xlabel="images", title=f"{metric.title}: worse than {verdict.leaders[metric.name]} by")


def _course(verdict: Verdict, title: str, metric: Metric) -> Mapping[int, Interval]:
    """Returns the differences at the looks by which a configuration counts."""
    images = verdict.images[title]
    at = {look: values[title] for look, values in sorted(verdict.looks.items()) if look <= images and title in values}
    return {look: values[metric.name] for look, values in at.items() if metric.name in values}
