"""A headline never says more than the verdict: held over random comparisons, of which each kind occurs."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from fashion_sweep.metrics.clip_score import CLIP_SCORE
from fashion_sweep.metrics.fid import FID
from fashion_sweep.report.finding import classify
from fashion_sweep.report.verdict_headline import headline
from fashion_sweep.report.verdict_sentence import sentence
from fashion_sweep.statistics.comparison import Influence, Measured, OverSeeds
from fashion_sweep.statistics.contest import Contest, Entrant
from fashion_sweep.statistics.race import Race, run_race
from fashion_sweep.statistics.rules import Rules

N, MARGINS, CAPTIONS = 60, {"fid": 0.5, "clip_score": 0.3}, 500


def compared(seed: int) -> list[Measured]:
    """Three to seven configurations with random numbers and errors, of one to three seeds, along an axis or not."""
    rng = np.random.default_rng(seed)
    along_an_axis, seeds, spread = bool(rng.integers(2)), int(rng.choice([1, 2, 3])), rng.choice([0.05, 0.3, 1.0])

    def estimate(mean: float) -> OverSeeds:
        half = rng.standard_normal(N // 2) * rng.choice([0.1, 1.0, 4.0])
        influence = np.concatenate([half, -half])  # without skewness, which more images than these would have less of
        by_seed = rng.normal(mean, spread) + rng.normal(0, 0.1, seeds)
        return OverSeeds(float(by_seed.mean()), Influence(influence - influence.mean(), None), by_seed)

    names = [f"UNet rank {2**k}" if along_an_axis else f"UNet rank {2**k}, lr 0.{k}" for k in range(rng.integers(3, 8))]
    return [
        Measured(name, 1000 * 2**k, {"fid": estimate(3.0), "clip_score": estimate(70.0)})
        for k, name in enumerate(names)
    ]


def raced(measured: list[Measured], count: int = N) -> Race:
    """The same numbers, with the errors of so many images."""
    shrink = np.sqrt(N / count)

    def surer(one: OverSeeds) -> OverSeeds:
        return replace(one, influence=Influence(one.influence.whole * shrink, None))

    entrants = [
        Entrant(
            one.name,
            one.parameters,
            lambda images, one=one: replace(one, metrics={key: surer(value) for key, value in one.metrics.items()}),
        )
        for one in measured
    ]
    contest = Contest(entrants, (FID, CLIP_SCORE), np.arange, lambda best: MARGINS)
    return run_race(contest, Rules((N,), len(measured)))


@pytest.fixture(scope="module")
def cases():
    found = []
    for seed in range(40, 120):  # the fewest in a row that have all kinds
        measured = compared(seed)
        finding = classify(raced(measured), CAPTIONS)
        found.append((finding, measured, headline(finding)))
    return found


def test_every_kind_of_headline_is_among_the_cases(cases):
    kinds = Counter(said.split(" U")[0].split(" all")[0].split(":")[0] for _, _, said in cases)
    assert {"Take", "Undecided between", "Undecided", "No single best"} <= set(kinds)
    for part in ("would decide.", "there are captions for 500", "More images alone", "smaller one may be"):
        assert any(part in said for _, _, said in cases), part
    assert any(" is worse" in said or "are worse" in said for _, _, said in cases)


def test_take_is_said_exactly_where_the_verdict_chose_and_of_the_chosen(cases):
    for finding, _, said in cases:
        chosen = finding.race.chosen
        assert said.startswith(f"Take {chosen}: ") if chosen else not said.startswith("Take ")


def test_who_is_called_open_is_not_shown_worse(cases):
    for finding, measured, said in cases:
        left = [one.name for one in measured if not finding.race.bounds_of[one.name].shown_worse_by]
        if said.startswith("Undecided: only "):
            assert left == [said.removeprefix("Undecided: only ").split(" is not shown")[0]]
        if said.startswith("Undecided between") and " worse" not in said:
            assert len(left) == len(measured)


def test_the_images_that_would_decide_do_and_the_sentence_names_as_many(cases):
    for finding, measured, said in cases:
        if needed := finding.images_needed:
            enough = needed <= CAPTIONS
            assert (f"About {needed:,} images would decide" if enough else f"At least {needed:,} images") in said
            assert f"{'about' if enough else 'at least'} {needed:,} images instead of" in sentence(finding, "fashion")
            assert ("there are captions for 500" in said) == (needed > CAPTIONS)
            assert raced(measured, needed).chosen is not None
        elif "More images alone" in said:
            assert raced(measured, 10**9).chosen is None


def test_the_sentence_calls_none_closest_that_is_shown_worse(cases):
    for finding, _, _ in cases:
        said = sentence(finding, "fashion")
        if " comes closest" in said:
            name = said.split("; ")[1].split(" comes closest")[0]
            assert finding.race.bounds_of[name].shown_worse_by is None
