"""Chooses who stands in a picture and what they wear: the attributes that captions name and figures show."""

from dataclasses import dataclass, replace

import numpy as np

from fashion_sweep.tiny.materials import COLORS, Rgb

SKINS: tuple[Rgb, ...] = (
    (0.96, 0.80, 0.69),
    (0.91, 0.71, 0.57),
    (0.82, 0.60, 0.44),
    (0.66, 0.45, 0.31),
    (0.46, 0.30, 0.21),
    (0.34, 0.21, 0.15),
)
HAIRS: tuple[Rgb, ...] = (
    (0.09, 0.07, 0.07),
    (0.23, 0.14, 0.09),
    (0.42, 0.26, 0.14),
    (0.78, 0.60, 0.33),
    (0.55, 0.24, 0.11),
    (0.55, 0.54, 0.53),
)
HAIRCUTS = {True: ("long", "long", "bob", "bun"), False: ("short", "short", "bald")}
SLEEVES = ("no", "short", "medium", "long")
NECKLINES = ("round", "v-shape", "lapel", "square")
UPPER_GARMENTS = ("T-shirt", "shirt", "tank top", "sweater", "dress")
TOP_KINDS = ("sweater", "shirt", "T-shirt")
TOP_PATTERNS = ("striped", "pure color", "plaid", "color block", "floral", "graphic")
TOPS = len(COLORS) * len(TOP_PATTERNS)
ACCESSORIES = ("hat", "wrist", "ring", "glasses", "belt", "bag")


@dataclass(frozen=True)
class DrawnGarment:
    kind: str
    color: str
    second: str
    """The other colour of a pattern."""
    fabric: str
    pattern: str
    phase: float


@dataclass(frozen=True)
class Top(DrawnGarment):
    sleeves: str
    neckline: str


@dataclass(frozen=True)
class Bottom(DrawnGarment):
    length: str


@dataclass(frozen=True)
class Outfit:
    woman: bool
    skin: int
    hair: int
    haircut: str
    top: Top
    bottom: Bottom | None
    """The lower garment; None below a dress, whose length is that of the dress."""
    dress_length: str
    accessories: frozenset[str]
    hat: str
    shoes: str


def dress_up(rng: np.random.Generator) -> Outfit:
    woman = bool(rng.random() < 0.6)
    kind = _pick(rng, UPPER_GARMENTS if woman else UPPER_GARMENTS[:-1])
    top = _top(rng, kind)
    return Outfit(
        woman=woman,
        skin=int(rng.integers(len(SKINS))),
        hair=int(rng.integers(len(HAIRS))),
        haircut=_pick(rng, HAIRCUTS[woman]),
        top=top,
        bottom=None if kind == "dress" else _bottom(rng, woman, top.color),
        dress_length=_pick(rng, ("short", "medium", "long")),
        accessories=frozenset(
            ACCESSORIES[i] for i in rng.permutation(len(ACCESSORIES))[: rng.choice(3, p=(0.4, 0.4, 0.2))]
        ),
        hat=_color(rng),
        shoes=_pick(rng, ("black", "white", "brown", "gray")),
    )


def with_top(outfit: Outfit, rng: np.random.Generator, number: int) -> Outfit:
    """Returns the same person in top number `number` of `TOPS`, all of which differ in colour or pattern."""
    kind = TOP_KINDS[number % len(TOP_KINDS)]
    lap, place = divmod(number, len(COLORS))
    color = list(COLORS)[place * 5 % len(COLORS)]  # neighbours in the list are alike
    pattern = TOP_PATTERNS[(number + 5 * lap) % len(TOP_PATTERNS)]
    top = replace(_top(rng, kind), fabric="cotton", color=color, second=_contrast(rng, color), pattern=pattern)
    return replace(outfit, top=top, bottom=outfit.bottom or _bottom(rng, outfit.woman, color))


def _top(rng: np.random.Generator, kind: str) -> Top:
    sleeves = {
        "T-shirt": ("short", "short", "medium"),
        "shirt": ("short", "medium", "long", "long"),
        "tank top": ("no",),
        "sweater": ("long", "long", "medium"),
        "dress": SLEEVES,
    }[kind]
    fabrics = {
        "T-shirt": ("cotton",),
        "shirt": ("cotton", "cotton", "denim", "chiffon", "leather"),
        "tank top": ("cotton", "cotton", "chiffon", "knitted"),
        "sweater": ("knitted", "knitted", "cotton"),
        "dress": ("cotton", "cotton", "chiffon", "denim", "leather"),
    }[kind]
    necks = {"T-shirt": ("round", "v-shape"), "shirt": ("lapel", "lapel", "v-shape", "round")}.get(kind, NECKLINES)
    fabric, color, second, pattern = _cloth(rng, fabrics, ("striped", "plaid", "floral", "graphic", "color block"))
    return Top(kind, color, second, fabric, pattern, float(rng.random()), _pick(rng, sleeves), _pick(rng, necks))


def _bottom(rng: np.random.Generator, woman: bool, top_color: str) -> Bottom:
    kind = _pick(
        rng, ("trousers", "trousers", "shorts", "skirt", "skirt") if woman else ("trousers", "trousers", "shorts")
    )
    lengths = {"trousers": ("long", "long", "three-quarter"), "shorts": ("three-point",)}
    fabrics = ("denim", "cotton", "cotton", "leather", *(["chiffon"] if kind == "skirt" else []))
    patterns = ("striped", "plaid", "floral", "color block") if kind == "skirt" else ("striped", "plaid")
    fabric, color, second, pattern = _cloth(rng, fabrics, patterns, plain=0.72)
    while color == top_color:
        color = _color(rng, fabric, other_than=second)
    length = _pick(rng, lengths.get(kind, ("short", "medium", "long")))
    return Bottom(kind, color, second, fabric, pattern, float(rng.random()), length)


def _cloth(
    rng: np.random.Generator, fabrics: tuple[str, ...], patterns: tuple[str, ...], plain: float = 0.5
) -> tuple[str, str, str, str]:
    """Returns fabric, colour, second colour and pattern; leather and denim come plain."""
    fabric = _pick(rng, fabrics)
    color = _color(rng, fabric)
    second = _contrast(rng, color)
    pattern = "pure color" if fabric in {"leather", "denim"} or rng.random() < plain else _pick(rng, patterns)
    return fabric, color, second, pattern


def _color(rng: np.random.Generator, fabric: str = "cotton", other_than: str = "") -> str:
    names = {"denim": ("blue", "blue", "navy", "black", "gray", "white"), "leather": ("black", "black", "brown", "red")}
    choices = tuple(name for name in names.get(fabric, tuple(COLORS)) if name != other_than)
    return _pick(rng, choices)


def _contrast(rng: np.random.Generator, color: str) -> str:
    """Returns a colour that stands out on `color`."""
    brightness = sum(COLORS[color]) / 3
    names = [name for name, rgb in COLORS.items() if abs(sum(rgb) / 3 - brightness) > 0.28]
    return _pick(rng, tuple(names))


def _pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]
