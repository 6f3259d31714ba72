"""The race on configurations whose truth is known: right as often as it says, and with fewer images than all."""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest

from fashion_sweep.metrics.clip_score import CLIP_SCORE
from fashion_sweep.metrics.fid import FID
from fashion_sweep.statistics.comparison import Influence, Measured, OverSeeds
from fashion_sweep.statistics.contest import Contest, Entrant
from fashion_sweep.statistics.race import run_race
from fashion_sweep.statistics.rules import Rules

LOOKS = (64, 128, 256, 512, 1024)
METRICS = (FID, CLIP_SCORE)
MARGINS = {"fid": 0.5, "clip_score": 0.3}


@dataclass(frozen=True)
class World:
    """Scores of images by configuration and metric, N,K,M; the value on n images is the mean of the first n."""

    scores: np.ndarray
    parameters: tuple[int, ...]
    available: dict[str, int]
    """On how many images a configuration was judged; all of them where it is not named."""

    def at(self, number: int, images: int) -> Measured | None:
        if images > self.available.get(f"rank {number}", len(self.scores)):
            return None
        metrics = {}
        for index, metric in enumerate(METRICS):
            values = self.scores[:images, number, index]
            influence = Influence(values - values.mean(), None)
            metrics[metric.name] = OverSeeds(float(values.mean()), influence, values.mean(keepdims=True))
        return Measured(f"rank {number}", self.parameters[number], metrics)

    def contest(self, margins=lambda best: MARGINS) -> Contest:
        entrants = [
            Entrant(f"rank {number}", size, partial(self.at, number)) for number, size in enumerate(self.parameters)
        ]
        return Contest(entrants, METRICS, np.arange, margins)


def world(rng, fid, clip_score=None, spread=3.0, available=None):
    """As many configurations as values, the smallest first; they have most of each image's luck in common."""
    truth = np.stack([fid, np.zeros(len(fid)) if clip_score is None else clip_score], axis=-1)
    images = (LOOKS[-1], len(fid), 2)
    common, own = rng.standard_normal((LOOKS[-1], 1, 2)), rng.standard_normal(images)
    scores = truth + spread * (0.8 * common + 0.6 * own)
    return World(scores, tuple(range(len(fid))), available or {})


def rules(entrants, **changed):
    return replace(Rules(LOOKS, entrants), **changed)


def race(one: World, **changed):
    return run_race(one.contest(), rules(len(one.parameters), **changed))


@pytest.mark.parametrize(
    "fid",
    [[0.5, 0.0, 0.0], [0.5, 0.5, 0.5, 0.5, 0.0], [0.5, 0.0]],
    ids=["one at the margin", "all but one at the margin", "two"],
)
def test_what_is_worse_by_the_margin_is_chosen_no_oftener_than_promised(fid):
    rng, wrong = np.random.default_rng(1), 0
    for _ in range(300):
        found = race(world(rng, fid)).chosen
        wrong += found is not None and fid[int(found.removeprefix("rank "))] >= 0.5
    assert wrong <= 0.05 * 300 + 2 * np.sqrt(0.05 * 0.95 * 300)


def test_of_equals_the_smallest_is_chosen_on_fewer_images_than_all():
    rng, chosen, used = np.random.default_rng(2), 0, 0
    for _ in range(60):
        found = race(world(rng, [0.0] * 4, spread=1.5))
        chosen += found.chosen == "rank 0"
        used += sum(found.images.values()) / (4 * LOOKS[-1])
    assert chosen >= 57
    assert used / 60 < 0.6


def test_margins_that_are_shares_of_the_best_value_are_those_of_the_first_look():
    one = world(np.random.default_rng(0), [0.3, 0.0, 0.2])
    best_values = []

    def margins(best):
        best_values.append(best)
        return {"fid": 0.1 * abs(best["fid"]), "clip_score": 0.3}

    found = run_race(one.contest(margins), rules(3))
    assert len(best_values) == 1
    at_first = [one.at(number, LOOKS[0]).metrics["fid"].value for number in range(3)]
    assert best_values[0]["fid"] == min(at_first)
    assert {bound.margin for bounds in found.bounds_of.values() for bound in bounds.bounds} == {
        *found.margins.by_metric.values()
    }


def test_who_is_out_gets_no_more_images_and_who_is_not_needed_rests():
    found = race(world(np.random.default_rng(3), [5.0, 0.0, 0.0, 0.0, 0.0], [-5.0, 0.0, 0.0, 0.0, 0.0], spread=1.5))
    assert found.end == "decided"
    assert found.out == ("rank 0",)
    assert found.images["rank 0"] == LOOKS[0]
    assert found.chosen == "rank 1"
    assert max(found.images.values()) > LOOKS[0]
    assert sum(found.images.values()) < 5 * LOOKS[-1]


def test_a_leader_in_one_number_counts_there_though_it_is_out():
    found = race(world(np.random.default_rng(4), [3.0, 0.0, 0.0], [3.0, 0.0, 0.0], spread=1.0))
    assert found.chosen is None
    assert set(found.out) == {"rank 0", "rank 1", "rank 2"}  # rank 0 in FID, the others in CLIP score
    assert found.end == "decided"


def test_the_race_stops_where_images_are_missing_and_asks_for_just_these():
    rng = np.random.default_rng(5)
    whole = world(rng, [0.3, 0.0, 0.0])
    first = race(replace(whole, available={f"rank {k}": LOOKS[0] for k in range(3)}))
    assert first.end is None
    assert set(first.due.values()) == {LOOKS[1]}
    ahead = dict.fromkeys(first.due, LOOKS[1]) | {next(iter(first.due)): LOOKS[0]}
    partly = race(replace(whole, available={f"rank {k}": LOOKS[0] for k in range(3)} | ahead))
    assert set(partly.due) == {next(iter(first.due))}
    assert partly.images == first.images


def test_step_by_step_it_comes_to_what_it_comes_to_with_all_there():
    for seed in range(20):
        whole = world(np.random.default_rng(seed), [0.6, 0.2, 0.0, 0.1])
        there = {f"rank {k}": LOOKS[0] for k in range(4)}
        while (found := race(replace(whole, available=dict(there)))).due:
            name = sorted(found.due)[seed % len(found.due)]
            there[name] = found.due[name]
        at_once = race(whole)
        assert (found.chosen, found.images, found.end) == (at_once.chosen, at_once.images, at_once.end)
        assert {k: v for k, v in there.items() if k in found.images} == dict(found.images)


def test_one_that_comes_late_joins_at_the_looks_that_others_have_passed():
    whole = world(np.random.default_rng(6), [0.3, 0.0, 0.0])
    assert "rank 0" not in race(replace(whole, available={"rank 0": 0})).images
    assert race(replace(whole, available={"rank 0": LOOKS[0]})).due == {"rank 0": LOOKS[1]}


def at_the_start(scores, of_first, of_rest):
    """Returns scores whose mean over the first look is one value, and over all that follow another, for two."""
    scores = scores - scores[: LOOKS[0]].mean(axis=0)
    scores[LOOKS[0] :] -= scores[LOOKS[0] :].mean(axis=0)
    scores[: LOOKS[0], 0, 0] += of_first
    scores[LOOKS[0] :, 0, 0] += of_rest
    return scores


def test_what_an_early_look_has_shown_stays_shown_though_later_ones_look_otherwise():
    one = world(np.random.default_rng(10), [0.0, 0.0], [-5.0, 0.0], spread=0.2)  # rank 0 goes on for its CLIP score
    scores = np.where(np.arange(2) == 1, world(np.random.default_rng(11), [0.0, 0.0], spread=3.0).scores, one.scores)
    kept = race(replace(one, scores=at_the_start(scores, 0.0, 0.9)))
    worse = race(replace(one, scores=at_the_start(scores, 0.24, 0.0)))
    for found, look in ((kept, kept.images["rank 0"]), (worse, worse.images["rank 0"])):
        assert look > LOOKS[0]
        fid = next(bound for bound in found.bounds_of["rank 0"].bounds if bound.metric is FID)
        assert fid.images == look
        assert fid.kept
    assert next(bound for bound in kept.bounds_of["rank 0"].bounds if bound.metric is FID).slack < 0
    shown = next(bound for bound in worse.bounds_of["rank 0"].bounds if bound.metric is FID)
    assert shown.at_least > shown.worse_by.value


class Trained(World):
    """A world in which each configuration was trained three times, whose values lie .2 apart."""

    def at(self, number: int, images: int) -> Measured | None:
        measured = super().at(number, images)
        if measured is None:
            return None
        apart = np.array([-0.2, 0.0, 0.2])
        metrics = {
            name: replace(one, by_seed=one.value + apart * (9 if number == 0 else 1))
            for name, one in measured.metrics.items()
        }
        return replace(measured, metrics=metrics)


def test_how_far_trainings_lie_apart_is_told_by_all_at_every_look():
    """The smallest, whose trainings differ most, must not become the measure of the few that are left beside it."""
    one = world(np.random.default_rng(2), [0.5, 50.0, 50.0, 0.0], [0.0, -50.0, -50.0, 0.0], spread=1.0)
    made = race(Trained(one.scores, one.parameters, {}))
    assert len(made.comparisons) > 1
    for images, comparison in made.comparisons.items():
        assert comparison.training_df("fid") == 2 * 4, images
        assert comparison.training_variance("fid") == pytest.approx((81 + 3) / 4 * 0.04)
    assert {one.name for one in made.comparisons[LOOKS[1]].others} == {"rank 1", "rank 2"}


def test_a_budget_counts_the_images_of_every_training():
    whole = world(np.random.default_rng(7), [0.45, 0.0, 0.0], spread=6.0)

    def twice(number, images):
        once = whole.at(number, images)
        over = {name: replace(one, by_seed=np.repeat(one.by_seed, 2)) for name, one in once.metrics.items()}
        return replace(once, metrics=over)

    entrants = [Entrant(f"rank {number}", size, partial(twice, number)) for number, size in enumerate(whole.parameters)]
    budget = 3 * LOOKS[2]
    once = race(whole, budget=budget)
    found = run_race(Contest(entrants, METRICS, np.arange, lambda best: MARGINS), rules(3, budget=budget))
    assert sum(once.images.values()) > budget / 2
    assert 2 * sum(found.images.values()) <= budget


def test_a_budget_ends_it_before_the_round_that_would_exceed_it():
    whole = world(np.random.default_rng(7), [0.45, 0.0, 0.0], spread=6.0)
    found = race(whole, budget=3 * LOOKS[1] + 10)
    assert found.end == "budget"
    assert sum(found.images.values()) <= 3 * LOOKS[1] + 10
    stopped = run_race(replace(whole, available={f"rank {k}": LOOKS[0] for k in range(3)}).contest(), rules(3), True)
    assert (stopped.end, stopped.due) == ("budget", {})


def test_with_a_single_look_all_is_decided_there():
    found = race(world(np.random.default_rng(8), [5.0, 0.0, 0.0], spread=1.0), looks=(LOOKS[-1],))
    assert set(found.images.values()) == {LOOKS[-1]}
    assert found.chosen == "rank 1"
    assert list(found.comparisons) == [LOOKS[-1]]


def test_more_looks_and_more_entrants_ask_for_surer_bounds():
    few, many = rules(2).levels(2), rules(12).levels(2)
    assert all(a.good < b.good and a.worse < b.worse for a, b in zip(few, many, strict=True))
    alone = rules(2, looks=(LOOKS[-1],)).levels(2)
    assert alone[0].good < few[0].good
    assert alone[0].good == pytest.approx(1 - 0.8 * 0.05 / 2)


def test_only_a_sure_loser_in_all_numbers_leaves_the_possible_front():
    found = race(world(np.random.default_rng(9), [0.0, 2.0, 2.0], [0.0, -2.0, 2.0], spread=1.0))
    assert found.front(surely=True) == found.front(surely=False) == ("rank 0", "rank 2")
    alike = race(world(np.random.default_rng(9), [0.0, 0.1], [0.0, -0.1]), looks=(LOOKS[0],))
    assert alike.front(surely=True) == ("rank 0", "rank 1")


def test_metrics_divide_the_error_of_who_is_out_and_not_that_of_who_is_good():
    one, two = (rules(3).levels(metrics)[0] for metrics in (1, 2))
    assert two.worse > one.worse
    assert two.good == one.good
