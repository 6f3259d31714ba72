"""What a report is made of: sections of texts, tables and pictures, which Markdown and HTML both render."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fashion_sweep.report.tables import Table


@dataclass(frozen=True)
class Text:
    text: str
    style: Literal["", "strong", "small"] = ""


@dataclass(frozen=True)
class Bullets:
    items: tuple[tuple[str, str], ...]
    """Pairs of a term, which may be empty, and what is said of it."""


@dataclass(frozen=True)
class Picture:
    path: Path
    """A PNG; an SVG of the same name beside it is the same picture."""
    description: str


@dataclass(frozen=True)
class Beside:
    """Tables that lie next to each other where there is room."""

    tables: tuple[Table, ...]


Block = Text | Bullets | Picture | Beside | Table


@dataclass(frozen=True)
class Section:
    title: str
    blocks: tuple[Block, ...]
