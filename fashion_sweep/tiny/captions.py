"""Writes captions of figures: in the manner of DeepFashion-MultiModal with every attribute, and short ones."""

import re

import numpy as np

from fashion_sweep.tiny.wardrobe import ACCESSORIES, Bottom, DrawnGarment, Outfit

WOMEN, MEN = ("woman", "lady", "female"), ("man", "gentleman", "male")
SLEEVES = {
    "no": ("no sleeves", "sleeves cut off"),
    "short": ("short sleeves",),
    "medium": ("medium sleeves",),
    "long": ("long sleeves",),
}
PLAIN = ("pure color", "solid color")
CARTOON = ("cartoon", "drawing", "flat illustration", "simple drawing", "cartoon drawing", "painting", "illustration")


def detailed(outfit: Outfit, rng: np.random.Generator) -> str:
    """Returns a caption of all that is worn, with its colours; at most about 70 tokens."""
    sentences = [_top(outfit, rng)]
    if outfit.bottom:
        sentences.append(_bottom(outfit, outfit.bottom, rng))
    sentences += [_accessory(outfit, name, rng) for name in ACCESSORIES if name in outfit.accessories]
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def short(outfit: Outfit, rng: np.random.Generator) -> str:
    """Returns a caption such as `a woman in a red shirt and blue shorts`."""
    text = (
        f"a {_who(outfit, rng)} {pick(rng, ('in', 'wearing'))} {with_article(f'{outfit.top.color} {outfit.top.kind}')}"
    )
    if outfit.bottom and rng.random() < 0.7:
        text += f" and {_bottom_phrase(outfit.bottom)}"
    if "hat" in outfit.accessories and rng.random() < 0.6:
        text += f" with {with_article(outfit.hat + ' hat')}"
    return text


def sentence(phrase: str) -> str:
    """Returns a phrase as a sentence: `a orange cat` -> `An orange cat.`"""
    phrase = re.sub(r"\ba (?=[aeio])", "an ", phrase)
    return f"{phrase[0].upper()}{phrase[1:]}."


def of_a_drawing(outfit: Outfit, rng: np.random.Generator) -> str:
    style = pick(rng, CARTOON)
    return f"{with_article(style).capitalize()} of {short(outfit, rng)}."


def drawn(rng: np.random.Generator) -> str:
    """Returns a sentence that says that this is no photograph."""
    return f"{with_article(pick(rng, CARTOON)).capitalize()}."


def _top(outfit: Outfit, rng: np.random.Generator) -> str:
    top, who = outfit.top, _who(outfit, rng)
    sleeves, fabric, pattern = pick(rng, SLEEVES[top.sleeves]), top.fabric, _pattern(top, rng)
    thing = f"{top.color} {top.kind}"
    if top.kind == "dress":
        thing = f"{outfit.dress_length} {thing}"
    forms = (
        f"the {thing} this {who} wears has {sleeves} and its fabric is {fabric}. The pattern of it is {pattern}."
        f" It has a {top.neckline} neckline.",
        f"{_his(outfit)} {thing} has {sleeves}, {fabric} fabric and {pattern} patterns."
        f" The neckline of it is {top.neckline}.",
        f"this {who} wears {with_article(_sleeve_word(top.sleeves))} {thing} with {pattern} patterns."
        f" The {top.kind} is with {fabric} fabric and its neckline is {top.neckline}.",
        f"the {thing} the {who} wears has {sleeves}, its fabric is {fabric}, and it has {pattern} patterns."
        f" The neckline is {top.neckline}.",
        f"this {who} is wearing {with_article(thing)} with {sleeves} and {with_article(top.neckline)} neckline."
        f" It is with {fabric} fabric and {pattern} patterns.",
    )
    return pick(rng, forms)


def _bottom(outfit: Outfit, bottom: Bottom, rng: np.random.Generator) -> str:
    who, pattern = _who(outfit, rng), _pattern(bottom, rng)
    thing = _bottom_phrase(bottom, article=False)
    forms = (
        f"this {who} wears a {thing}, with {bottom.fabric} fabric and {pattern} patterns.",
        f"the {thing} the {who} wears is of {bottom.fabric} fabric with {pattern} patterns.",
        f"{_his(outfit)} {thing} has {bottom.fabric} fabric and {pattern} patterns.",
    )
    return pick(rng, forms)


def _accessory(outfit: Outfit, name: str, rng: np.random.Generator) -> str:
    who, his = _who(outfit, rng), _his(outfit)
    forms = {
        "hat": (f"there is a {outfit.hat} hat in {his} head.", f"this {who} wears a {outfit.hat} hat."),
        "wrist": (f"there is an accessory on {his} wrist.",),
        "ring": (f"this {who} wears a ring.", f"there is a ring on {his} finger."),
        "glasses": (f"this {who} wears sunglasses.",),
        "belt": (f"there is a belt on {his} waist.",),
        "bag": (f"this {who} carries a bag.",),
    }
    return pick(rng, forms[name])


def _bottom_phrase(bottom: Bottom, article: bool = True) -> str:
    phrase = f"{bottom.length} {bottom.color} {bottom.kind}"
    return with_article(phrase) if article and bottom.kind == "skirt" else phrase


def _sleeve_word(sleeves: str) -> str:
    return "sleeveless" if sleeves == "no" else f"{sleeves}-sleeve"


def _pattern(garment: DrawnGarment, rng: np.random.Generator) -> str:
    return pick(rng, PLAIN) if garment.pattern == "pure color" else f"{garment.second} {garment.pattern}"


def _who(outfit: Outfit, rng: np.random.Generator) -> str:
    return pick(rng, WOMEN if outfit.woman else MEN)


def _his(outfit: Outfit) -> str:
    return "her" if outfit.woman else "his"


def with_article(phrase: str) -> str:
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]
