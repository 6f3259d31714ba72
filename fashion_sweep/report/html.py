"""Sections as one self-contained HTML file: pictures inside, nothing loaded from elsewhere, all text escaped."""

import base64
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from fashion_sweep.report.blocks import Section

MEDIA_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}


def as_html(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Renders sections as HTML; `title` stands above all, `subtitle` below it, in small type."""
    environment = Environment(
        loader=PackageLoader("fashion_sweep", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["kind"] = lambda block: type(block).__name__
    return environment.get_template("page.html.j2").render(title=title, subtitle=subtitle, sections=sections)


def _data_uri(picture: Path) -> str:
    """Returns a picture as a data URI, as SVG where there is one, which is sharp at every size.
    It is an image, not markup: whatever it holds cannot run."""
    drawn = picture.with_suffix(".svg")
    path = drawn if drawn.is_file() else picture
    return f"data:{MEDIA_TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
