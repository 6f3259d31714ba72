"""Judges whether each garment's pictures come closest to its own photo, and closer than the base model's.

A picture identifies its garment if no other photo of the run is closer to it. The seeds are the sample: pictures of
one seed share their noise. So intervals of means, and of the share over all garments, are Student's over the seeds' own
means, and one garment's share counts a seed as one observation (Wilson 1927): eight seeds that are all right leave room
for a third that is not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm, t

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import BASE_MODEL
from fashion_sweep.run.paths import RunPaths, TrialPaths
from fashion_sweep.storage.files import read_json
from fashion_sweep.tasks.garment.recipe import prompts_of, recipe_of

LEVEL = 0.95


@dataclass(frozen=True)
class SeedEstimate:
    """Holds a mean over pictures, with its interval over seeds."""

    value: float
    low: float | None
    high: float | None
    """The upper end of the interval; both ends are None for one seed, which tells nothing of others."""


@dataclass(frozen=True)
class Judged:
    """Holds the judgement of one garment. Scores are those of `closeness.Closeness`, 0 to 100."""

    garment: str
    identified: SeedEstimate | None
    """The share of the garment's pictures whose closest photo is its own; None where there is no other photo."""
    base_identified: SeedEstimate | None
    """The same share of what the base model draws for the garment's prompts; None where it has drawn nothing."""
    own: SeedEstimate
    """The closeness of the pictures to the garment's own photo."""
    others: SeedEstimate | None
    """The closeness of the pictures to the photos of the other garments; None where there is no other."""
    gain: SeedEstimate | None
    """The closeness to the own photo less that of the base model's pictures of the same prompts and seeds."""
    colour: float
    """The mean ΔE to the garment's own photo."""
    colour_identified: float | None
    """The share of pictures whose closest photo in colour alone is their own; None where there is no other photo."""
    seeds: int


def judge_garments(run: RunPaths, config: RunConfig) -> list[Judged]:
    """Judges the garments that are done, in the order of the sweep."""
    done = [garment for garment in config.sweep.garments if run.trial(garment.name).closeness.is_file()]
    base = _pictures(run, BASE_MODEL)
    judged = []
    for garment in done:
        prompts = set(prompts_of(recipe_of(config.preset), garment))
        without = [picture for picture in base if picture["prompt"] in prompts]
        judged.append(_judged(garment.name, _pictures(run, garment.name), without))
    return judged


def summary(trial: TrialPaths, name: str) -> dict[str, Any]:
    """Returns what the trial's result says: means over its pictures, and their closeness by seed."""
    pictures = read_json(trial.closeness)["pictures"]
    judged = _judged(name, pictures, [])
    seeds = sorted({picture["seed"] for picture in pictures})
    scores = {s: [p["closeness"][name]["score"] for p in pictures if p["seed"] == s] for s in seeds}
    return {
        "closeness": judged.own.value,
        "colour_delta_e": judged.colour,
        **({"identified": judged.identified.value} if judged.identified else {}),
        "closeness_by_seed": {str(seed): float(np.mean(in_seed)) for seed, in_seed in scores.items()},
    }


@dataclass(frozen=True)
class Overall:
    """Holds the shares of all pictures whose closest photo is their own, for these garments. Intervals are over seeds,
    which all garments have in common."""

    adapters: SeedEstimate
    base: SeedEstimate | None
    """The share of what the base model draws for the same prompts and noise; None where it has drawn nothing."""
    more: SeedEstimate | None
    """The amount by which the adapters' share exceeds the base model's."""
    chance: float


def overall(run: RunPaths, judged: Sequence[Judged]) -> Overall | None:
    """Returns the shares over all garments of `judge_garments`; None where there are not two to tell apart."""
    base = {(p["prompt"], p["seed"]): p for p in _pictures(run, BASE_MODEL)}
    ours: dict[tuple[str, int], float] = {}
    theirs: dict[tuple[str, int], float] = {}
    photos = 0
    for one in judged:
        for picture in _pictures(run, one.garment):
            photos, key = len(picture["closeness"]), (f"{one.garment}: {picture['prompt']}", picture["seed"])
            ours[key] = float(closest(picture["closeness"], one.garment) == one.garment)
            if without := base.get((picture["prompt"], picture["seed"])):
                theirs[key] = float(closest(without["closeness"], one.garment) == one.garment)
    if photos < 2:
        return None
    with_adapters = _mean_share(ours)
    if not theirs:
        return Overall(with_adapters, None, None, 1 / photos)
    without_any = _mean_share(theirs)
    more = _estimate({key: ours[key] - theirs[key] for key in theirs})
    return Overall(with_adapters, without_any, _widened(more, with_adapters, without_any), 1 / photos)


def _widened(more: SeedEstimate, ours: SeedEstimate, theirs: SeedEstimate) -> SeedEstimate:
    """Widens the interval of a difference that all seeds agree on, as far as the intervals of both shares allow."""
    if more.low != more.high or None in (ours.low, ours.high, theirs.low, theirs.high):
        return more
    return SeedEstimate(more.value, ours.low - theirs.high, ours.high - theirs.low)  # type: ignore[operator]


def _mean_share(values: Mapping[tuple[str, int], float]) -> SeedEstimate:
    """Returns the mean share of values by prompt and seed. Where all seeds agree, their spread says nothing of others:
    then the interval is that of `share`."""
    mean, seeds = _estimate(values), len({seed for _, seed in values})
    if mean.low is None or mean.high is None or mean.low == mean.high:
        return share(mean.value, seeds)
    return SeedEstimate(mean.value, max(0.0, mean.low), min(1.0, mean.high))


def share(value: float, count: int) -> SeedEstimate:
    """Returns a share of `count` independent observations, with Wilson's score interval."""
    z = float(norm.ppf((1 + LEVEL) / 2))
    centre = (value + z**2 / (2 * count)) / (1 + z**2 / count)
    spread = z / (1 + z**2 / count) * np.sqrt(value * (1 - value) / count + (z / (2 * count)) ** 2)
    return SeedEstimate(value, max(0.0, float(centre - spread)), min(1.0, float(centre + spread)))


def _pictures(run: RunPaths, trial_id: str) -> list[dict[str, Any]]:
    pictures: list[dict[str, Any]] = read_json(run.trial(trial_id).closeness, {"pictures": []})["pictures"]
    return pictures


def _judged(name: str, pictures: list[dict[str, Any]], base: list[dict[str, Any]]) -> Judged:
    own = {(p["prompt"], p["seed"]): p["closeness"][name]["score"] for p in pictures}
    without = {(p["prompt"], p["seed"]): p["closeness"][name]["score"] for p in base}
    other_photos = [photo for photo in pictures[0]["closeness"] if photo != name]
    gains = {key: own[key] - without[key] for key in own.keys() & without.keys()}
    to_others = {
        (p["prompt"], p["seed"]): float(np.mean([p["closeness"][photo]["score"] for photo in other_photos]))
        for p in pictures
        if other_photos
    }
    seeds = len({seed for _, seed in own})
    return Judged(
        garment=name,
        identified=share(_identified(name, pictures), seeds) if other_photos else None,
        base_identified=share(_identified(name, base), seeds) if other_photos and base else None,
        own=_estimate(own),
        others=_estimate(to_others) if other_photos else None,
        gain=_estimate(gains) if gains else None,
        colour=float(np.mean([p["closeness"][name]["colour"] for p in pictures])),
        colour_identified=float(np.mean([_closest_in_colour(p["closeness"]) == name for p in pictures]))
        if other_photos
        else None,
        seeds=seeds,
    )


def _identified(name: str, pictures: list[dict[str, Any]]) -> float:
    """Returns the share of the pictures whose closest photo is that of garment `name`."""
    return float(np.mean([closest(picture["closeness"], name) == name for picture in pictures]))


def closest(photos: dict[str, Any], name: str) -> str:
    """Returns the photo with the highest score; of equal ones, another than that of garment `name`."""
    return max(photos, key=lambda photo: (photos[photo]["score"], photo != name))


def _closest_in_colour(photos: dict[str, Any]) -> str:
    return min(photos, key=lambda photo: photos[photo]["colour"])


def _estimate(values: Mapping[tuple[str, int], float]) -> SeedEstimate:
    """Returns the mean of values by prompt and seed, with Student's interval over the seeds' own means."""
    seeds = sorted({seed for _, seed in values})
    by_seed = np.array([np.mean([value for (_, s), value in values.items() if s == seed]) for seed in seeds])
    mean = float(by_seed.mean())
    if len(seeds) == 1:
        return SeedEstimate(mean, None, None)
    half = float(t.ppf((1 + LEVEL) / 2, len(seeds) - 1) * by_seed.std(ddof=1) / np.sqrt(len(seeds)))
    return SeedEstimate(mean, mean - half, mean + half)
