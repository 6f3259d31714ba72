"""Titles beside the points of a plot: none over another, over a point or out of the plot."""

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

SIZE = 9
GAP = 9
"""From a point to its title, in points of type."""
PLACES = (
    ((0, GAP), "center", "bottom"),
    ((0, -GAP), "center", "top"),
    ((GAP, 0), "left", "center"),
    ((-GAP, 0), "right", "center"),
    ((GAP, GAP), "left", "bottom"),
    ((-GAP, GAP), "right", "bottom"),
    ((GAP, -GAP), "left", "top"),
    ((-GAP, -GAP), "right", "top"),
)


def label_points(axes: Axes, labelled: Sequence[tuple[float, float, str]], avoid: Sequence[Bbox] = ()) -> int:
    """Draws the titles that have room, the first ones first; the others stay out. The number of those.

    Args:
        labelled: x, y and title of each point.
        avoid: boxes, in data coordinates, that titles keep clear of: error bars.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    canvas = FigureCanvasAgg(figure)
    figure.draw_without_rendering()  # the layout settles here; titles do not take part in it
    renderer = canvas.get_renderer()
    frame = axes.get_window_extent(renderer)
    pixel = figure.dpi / 72
    centres = [axes.transData.transform((x, y)) for x, y, _ in labelled]
    taken = [Bbox.from_extents(x - 5 * pixel, y - 5 * pixel, x + 5 * pixel, y + 5 * pixel) for x, y in centres]
    taken += [axes.transData.transform_bbox(box).padded(1) for box in avoid]
    taken += [text.get_window_extent(renderer) for text in axes.texts]
    left_out = 0
    for x, y, title in labelled:
        text = axes.annotate("\n".join(textwrap.wrap(title, 24)), (x, y), (0, GAP), textcoords="offset points",
                             fontsize=SIZE, linespacing=1.1)  # fmt: skip
        text.set_in_layout(False)
        for offset, horizontal, vertical in PLACES:
            text.xyann = offset
            text.set(ha=horizontal, va=vertical)
            box = text.get_window_extent(renderer)
            if _inside(box, frame) and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
        else:
            text.remove()
            left_out += 1
    return left_out


def _inside(box: Bbox, frame: Bbox) -> bool:
    return bool(box.x0 >= frame.x0 and box.x1 <= frame.x1 and box.y0 >= frame.y0 and box.y1 <= frame.y1)
