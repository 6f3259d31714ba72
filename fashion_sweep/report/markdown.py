"""Sections as Markdown, with links to the pictures' files."""

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fashion_sweep.errors import shown
from fashion_sweep.report.blocks import Beside, Block, Bullets, Picture, Section, Text
from fashion_sweep.report.tables import Table, markdown

SPECIAL = re.compile(r"([\\`*<\[])")
"""Characters that could make text into something else: HTML, links, pictures, emphasis."""


def as_markdown(title: str, sections: Sequence[Section], folder: Path) -> str:
    """Renders sections as Markdown; `folder` is where the page will lie, from which pictures are linked."""
    lines = [f"# {plain(title)}", ""]
    for section in sections:
        lines += [f"## {plain(section.title)}", ""]
        for block in section.blocks:
            lines += [*_block(block, folder), ""]
    return "\n".join(lines)


def _block(block: Block, folder: Path) -> list[str]:
    if isinstance(block, Text):
        return [f"**{plain(block.text)}**" if block.style == "strong" else plain(block.text)]
    if isinstance(block, Bullets):
        return [f"- {f'{plain(term)}: ' if term else ''}{plain(text)}" for term, text in block.items]
    if isinstance(block, Picture):
        return [f"![{plain(block.description)}]({Path(os.path.relpath(block.path, folder)).as_posix()})"]
    if isinstance(block, Beside):
        return [line for table in block.tables for line in _table(table)]
    return _table(block)


def _table(table: Table) -> list[str]:
    rows = tuple(tuple(plain(cell) for cell in row) for row in table.rows)
    title = [f"### {plain(table.title)}", ""] if table.title else []
    return [*title, markdown(replace(table, rows=rows, caption=plain(table.caption)))]


def plain(text: str) -> str:
    """Returns the text as one line of Markdown that shows as it reads."""
    return SPECIAL.sub(r"\\\1", shown(" ".join(text.split())))
