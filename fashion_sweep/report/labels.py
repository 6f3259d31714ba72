"""Titles beside the points of a plot: none over another, over a point or out of the plot."""

import textwrap
from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox, BboxBase

SIZE = 9
NEAR, FAR = 8, 18
"""The distances from a point to its title, in points of type."""
AROUND = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1))
HORIZONTAL: dict[int, Literal["left", "center", "right"]] = {-1: "right", 0: "center", 1: "left"}
VERTICAL: dict[int, Literal["top", "center", "bottom"]] = {-1: "top", 0: "center", 1: "bottom"}
MOST_TITLES = 8
"""The most points that have titles beside them; of more only numbers are written, with a key."""


def numbered(titles: Sequence[str]) -> dict[str, str]:
    """Returns what is written beside each point, by title."""
    if len(titles) <= MOST_TITLES:
        return {title: title for title in titles}
    return {title: str(index) for index, title in enumerate(titles, start=1)}


def write_key(figure: Figure, labels: dict[str, str]) -> None:
    """Writes the key right of the plots, where labels are not the titles themselves."""
    shown = [f"{label}  {title}" for title, label in labels.items() if label != title]
    if shown:
        blank = [Line2D([], [], linestyle="") for _ in shown]
        figure.legend(blank, shown, loc="outside right upper", handlelength=0, handletextpad=0, frameon=False,
                      fontsize=8)  # fmt: skip


def label_points(axes: Axes, labelled: Sequence[tuple[float, float, str]], bars: Sequence[Bbox] = ()) -> None:
    """Draws the labels that have room, the first ones first; one that has none stays out.

    Args:
        labelled: x, y and label of each point.
        bars: boxes of error bars in data coordinates, which labels keep clear of where they can.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # the layout settles here; labels do not take part in it
    renderer = canvas.get_renderer()
    frame = axes.get_window_extent(renderer)
    half = 5 * figure.dpi / 72
    centres = [axes.transData.transform((x, y)) for x, y, _ in labelled]
    taken: list[BboxBase] = [Bbox.from_extents(x - half, y - half, x + half, y + half) for x, y in centres]
    taken += [text.get_window_extent(renderer) for text in axes.texts]
    drawn = [axes.transData.transform_bbox(bar).padded(1) for bar in bars]
    waiting = list(labelled)
    for gap, avoided in ((NEAR, drawn), (NEAR, []), (FAR, [])):
        left = []
        for x, y, label in waiting:
            text = _annotation(axes, x, y, label)
            box = _placed(text, gap, renderer, frame, [*taken, *avoided])
            if box is not None:
                taken.append(box)
            else:
                text.remove()
                left.append((x, y, label))
        waiting = left


def _annotation(axes: Axes, x: float, y: float, label: str) -> Annotation:
    text = axes.annotate("\n".join(textwrap.wrap(label, 24)), (x, y), (0, NEAR), textcoords="offset points",
                         fontsize=SIZE, linespacing=1.1, zorder=5)  # fmt: skip
    text.set_path_effects([withStroke(linewidth=2.5, foreground="white")])
    text.set_in_layout(False)
    return text


def _placed(
    text: Annotation, gap: int, renderer: RendererAgg, frame: BboxBase, avoided: Sequence[BboxBase]
) -> BboxBase | None:
    """Places a text beside its point; returns its box, or None where it finds no room."""
    for x, y in AROUND:
        text.xyann = (x * gap, y * gap)
        text.set(ha=HORIZONTAL[x], va=VERTICAL[y])
        box = text.get_window_extent(renderer)
        if _inside(box, frame) and not any(box.overlaps(other) for other in avoided):
            return box
    return None


def _inside(box: BboxBase, frame: BboxBase) -> bool:
    return bool(box.x0 >= frame.x0 and box.x1 <= frame.x1 and box.y0 >= frame.y0 and box.y1 <= frame.y1)
