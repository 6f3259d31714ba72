"""Reads in a caption what the figure is to wear: the inverse of `captions.detailed`. Imports no torch."""

import re

from fashion_sweep.tiny.captions import MEN, SLEEVES, WOMEN
from fashion_sweep.tiny.materials import COLORS, PATTERNS
from fashion_sweep.tiny.wardrobe import NECKLINES, UPPER_GARMENTS, Outfit

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "person": ("woman", "man"),
    "garment": UPPER_GARMENTS,
    "sleeves": tuple(SLEEVES),
    "color": tuple(COLORS),
    "pattern": tuple(PATTERNS),
    "neckline": NECKLINES,
}
"""The attributes of a figure and their values: of the person, and of the upper garment."""
HEADS: dict[str, int] = {"whole": 2, **{name: len(values) for name, values in ATTRIBUTES.items()}}
"""The number of answers to each question to the reader. To `whole`, a head and two legs, they are no and yes."""
_PERSONS = {**dict.fromkeys((*WOMEN, "her"), "woman"), **dict.fromkeys((*MEN, "his"), "man")}
_SLEEVES = {phrase: name for name, phrases in SLEEVES.items() for phrase in phrases} | {
    "sleeveless": "no",
    **{f"{name}-sleeve": name for name in SLEEVES if name != "no"},
}
_PATTERNS = {"pure color": "pure color", "solid color": "pure color", **{name: name for name in PATTERNS}}


def named(caption: str) -> dict[str, str]:
    """Returns the attributes that a caption names, of `ATTRIBUTES`; in its first sentences, which are of the top."""
    text = caption.lower()
    found = {"person": _first(_PERSONS, text)}
    kind = re.search(rf"\b(?:({'|'.join(COLORS)}) )?({'|'.join(map(str.lower, UPPER_GARMENTS))})\b", text)
    if kind is None:
        return {name: value for name, value in found.items() if value}
    found["garment"] = next(name for name in UPPER_GARMENTS if name.lower() == kind[2])
    found["color"] = kind[1]
    top = text[: _end_of_top(text, kind.end())]
    found["sleeves"], found["pattern"] = _first(_SLEEVES, top), _first(_PATTERNS, top)
    neckline = re.search(rf"({'|'.join(NECKLINES)}) neckline|neckline (?:of it )?is ({'|'.join(NECKLINES)})", top)
    found["neckline"] = (neckline[1] or neckline[2]) if neckline else None
    return {name: value for name, value in found.items() if value}


def worn(outfit: Outfit) -> dict[str, str]:
    """Returns the attributes of an outfit, all of `ATTRIBUTES`."""
    top = outfit.top
    return {
        "person": "woman" if outfit.woman else "man",
        "garment": top.kind,
        "sleeves": top.sleeves,
        "color": top.color,
        "pattern": top.pattern,
        "neckline": top.neckline,
    }


def _first(names: dict[str, str], text: str) -> str | None:
    """Returns what the first of the phrases in a text stands for."""
    found = re.search(r"\b(" + "|".join(sorted(names, key=len, reverse=True)) + r")\b", text)
    return names[found[1]] if found else None


def _end_of_top(text: str, start: int) -> int:
    """Returns where the lower garment's sentence begins, which has fabric and pattern of its own."""
    lower = re.search(r"[^.]*\b(trousers|shorts|skirt)\b", text[start:])
    return start + lower.start() if lower else len(text)
