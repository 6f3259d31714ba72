"""The axes of a sweep: which settings differ, how much each matters, and what is drawn of it."""

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.judging.race import races_of
from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.report.axis_plots import axis_figures
from fashion_sweep.report.configurations import Configuration
from fashion_sweep.report.results import collect
from fashion_sweep.report.sweep_axes import AxisPoints, SweepAxis, free, points_of
from fashion_sweep.report.verdict import Interval, verdicts_of
from fashion_sweep.statistics.variance_share import epsilon_squared, projections
from tests.report.synthetic_run import finish_trial, judgement, make_run
from tests.report.test_verdict import judged_run

SHIFTS = {"unet-r1": 1.0, "unet-r2": 0.0, "unet-r4": 0.0, "unet-r8": 0.0, "unet-r64": 0.0}
FID, CLIP = metrics_of(["fid", "clip_score"])
GRID = [(rate, rank, alpha) for rate in (0.001, 0.005) for rank in (1, 8, 64) for alpha in ("rank", "sqrt_rank")]


@pytest.fixture
def race_run(tmp_path):
    """A run in which rank 1 left the race before the others."""
    return judged_run(tmp_path / "run", SHIFTS, n=2048, fixed=(), noise=3.0)


def points(value_of, rows=GRID, names=("learning rate", "rank", "lora alpha"), error=0.1):
    shown = []
    for number, row in enumerate(rows):
        value = value_of(*row)
        metrics = {
            "fid": Interval(value, value - 0.2, value + 0.2),
            "clip_score": Interval(70 - value, 69 - value, 71 - value),
        }
        shown.append(Configuration(f"c{number}", 1000 + number, 256, metrics, on_front=True))
    axes = tuple(SweepAxis(name, tuple(row[at] for row in rows)) for at, name in enumerate(names))
    independent = np.eye(len(rows)) - 1 / len(rows)
    return AxisPoints(tuple(shown), axes, {"fid": error**2 * independent} if error else {})


def test_an_axis_that_decides_alone_has_all_of_the_variance_and_the_others_none():
    found = points(lambda rate, rank, alpha: 1000 * rate)
    shares = [found.importance(axis, FID) for axis in found.axes]
    assert [round(one.value, 3) for one in shares] == [1, 0, 0]
    assert shares[0].low > 0.95
    assert shares[1].high < 0.1


def test_two_axes_share_the_variance():
    found = points(lambda rate, rank, alpha: (rate > 0.002) + (alpha == "rank"))
    rate, rank, alpha = (found.importance(axis, FID).value for axis in found.axes)
    assert rate == pytest.approx(alpha)
    assert rate == pytest.approx(0.45, abs=0.06)
    assert rank == 0


def test_an_axis_that_does_nothing_has_about_none_of_it_however_many_values_it_has():
    draw = np.random.default_rng(0)
    values, places = draw.standard_normal((4000, 24)), np.arange(24) % 6
    shares = np.array([epsilon_squared(*(row @ part @ row for part in projections(places)), places) for row in values])
    assert shares.mean() < 0.1  # eta squared, which is not unbiased, has 5/23
    assert (shares == 0).mean() > 0.4


@pytest.mark.parametrize("error", [0.05, 0.2, 0.35])
@pytest.mark.parametrize("other", [0.0, 0.1, 0.5, 1.5])  # true shares from 1 down to 0.05
def test_the_interval_covers_the_true_share_as_often_as_it_says(other, error):
    def value(rate, rank, alpha):
        return (rate > 0.002) + other * (alpha == "rank")

    draw, misses, told = np.random.default_rng(1), 0, 0
    truth = points(value, error=0)
    true = truth.importance(truth.axes[0], FID).value
    for _ in range(300):
        found = points(lambda *row: value(*row) + error * draw.standard_normal(), error=error)
        share = found.importance(found.axes[0], FID)
        told += not isinstance(share, str)
        misses += not isinstance(share, str) and not share.low <= true <= share.high
    assert told > 250
    assert misses <= 0.075 * told  # of 300, two standard errors above one in twenty


@pytest.mark.parametrize("other", [0.05, 0.4, 2.0])
@pytest.mark.parametrize("size", [0.1, 0.4])
def test_the_interval_covers_where_errors_are_unequal_and_go_together(other, size):
    """As those of a run: configurations that are like each other stray together, and one far more than the rest."""

    def value(rate, rank, alpha):
        return 0.3 * (rate > 0.002) + other * np.log(rank)

    true_values = np.array([value(*row) for row in GRID])
    draw = np.random.default_rng(4)
    factors = np.array([[rank > 8, rate > 0.002, 1.0] for rate, rank, _ in GRID], float)
    covariance = factors @ np.diag([4.0, 1.0, 9.0]) @ factors.T + np.diag(0.2 + 4.0 * (np.arange(len(GRID)) == 3))
    centred = np.eye(len(GRID)) - 1 / len(GRID)
    noise = centred @ covariance @ centred
    scale = size * true_values.var() * len(GRID) / np.trace(noise)
    misses = told = 0
    truth = points(value, error=0).importance(SweepAxis("rank", tuple(row[1] for row in GRID)), FID).value
    for _ in range(300):
        values = iter(true_values + draw.multivariate_normal(np.zeros(len(GRID)), scale * covariance))
        found = points(lambda *row, values=values: next(values))
        share = replace(found, noise={"fid": scale * noise}).importance(found.axes[1], FID)
        told += not isinstance(share, str)
        misses += not isinstance(share, str) and not share.low <= truth <= share.high
    assert told > 200
    assert misses <= 0.075 * told


def test_the_noise_is_that_of_differences_on_the_images_that_all_share(race_run):
    results = collect(race_run)
    (verdict,) = verdicts_of(race_run, results).values()
    race = races_of(race_run, results.config)["fashion"]
    images = min(race.images.values())
    assert images < max(race.images.values())
    comparison = race.comparisons[images]
    found = points_of(results, "fashion", verdict)
    assert found.images == images
    there = {one.name: one for one in comparison.measured}
    for metric in race.metrics:
        noise = found.noise[metric.name]
        assert noise.sum() == pytest.approx(0, abs=1e-9)
        for (i, one), (j, other) in combinations(enumerate(found.shown), 2):
            difference = comparison.difference(metric.name, there[one.title], there[other.title])
            assert one.value(metric).value - other.value(metric).value == pytest.approx(difference.value, abs=1e-9)
            assert noise[i, i] + noise[j, j] - 2 * noise[i, j] == pytest.approx(difference.se**2)


def test_a_run_of_the_base_model_alone_has_no_axes(race_run):
    results = collect(race_run)
    (verdict,) = verdicts_of(race_run, results).values()
    found = points_of(replace(results, trials=()), "fashion", verdict)
    assert (found.shown, found.axes) == ((), ())


def test_an_axis_with_a_value_for_each_configuration_has_no_importance():
    found = points(lambda part: float(part[-1]), rows=[(f"part {n}",) for n in range(6)], names=("part",))
    assert found.importance(found.axes[0], FID) == "a value for each"


def test_differences_that_may_be_noise_have_no_importance():
    found = points(lambda rate, rank, alpha: 100 * rate, error=1.0)
    assert {found.importance(axis, FID) for axis in found.axes} == {"no more than noise"}


def test_many_numbers_are_put_into_three_groups():
    axis = SweepAxis("learning rate", tuple(0.001 * 1.3**n for n in range(12)))
    assert axis.places == (0,) * 4 + (1,) * 4 + (2,) * 4
    assert axis.levels == ("0.001 to 0.0022", "0.00286 to 0.00627", "0.00816 to 0.0179")
    assert SweepAxis("rank", (64, 1, 8, 1)).levels == ("1", "8", "64")
    assert SweepAxis("rank", (64, 1, 8, 1)).places == (2, 0, 1, 0)


def test_what_adapters_set_for_themselves_are_axes_and_what_they_do_not_is_the_trials(tmp_path):
    trials = [{"unet": {"rank": 2, "lora_alpha": 8}}, {"unet": {"rank": 2, "lora_alpha": "rank"}}]
    trials += [{"unet": 2, "lora_alpha": 3}]
    run = make_run(tmp_path / "run", settings=[f"sweep.trials={json.dumps(trials)}"])
    for values in trials:
        finish_trial(run, TrialSpec.of(values), 18432, {"fashion": judgement(16.0, 23.0)})
    found = points_of(collect(run), "fashion", None)
    assert {axis.name: axis.values for axis in found.axes} == {"lora alpha": (8.0, "rank", 3.0)}


def test_an_axis_that_another_decides_is_left_out():
    part = SweepAxis("part", ("unet", "mid_block", "up_blocks", "attn1"))
    rank = SweepAxis("rank", (2, 21, 4, 4))
    assert free([rank, part]) == [part]
    kind, factor = SweepAxis("kind", ("lora", "lora", "lokr", "lokr")), SweepAxis("decompose factor", (0, 0, 4, 4))
    rate = SweepAxis("learning rate", (0.001, 0.005, 0.001, 0.005))
    assert free([factor, rate, kind]) == [rate, kind]
    drawn = SweepAxis("learning rate", (0.0011, 0.0054, 0.0016, 0.0035))  # by a search
    assert free([drawn, kind]) == [drawn, kind]


def test_every_plot_is_made_where_several_axes_differ_and_none_where_one_does():
    found = points(lambda rate, rank, alpha: rate + rank)
    assert axis_figures(found, [FID, CLIP], "fashion").keys() == {"axes-fashion", "parallel-fashion", "heat-fashion"}
    single = points(lambda rank: rank, rows=[(rank,) for rank in (1, 2, 4, 8, 64)], names=("rank",))
    assert axis_figures(single, [FID, CLIP], "fashion") == {}


def test_the_heat_map_is_of_the_two_axes_that_matter_together_though_neither_does_alone():
    rows = [(rate, rank, other) for rate in (0.001, 0.005) for rank in (1, 8) for other in ("a", "b")]
    found = points(lambda rate, rank, other: 5.0 if (rate > 0.002) == (rank > 2) else 1.0, rows=rows)
    _, figure = axis_figures(found, [FID], "fashion")["heat-fashion"]
    assert {figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()} == {"learning rate", "rank"}


def test_the_heat_map_has_the_means_of_its_cells_and_gaps_where_nothing_was_tried():
    rows = [
        (0.001, 1, "rank"),
        (0.001, 1, "sqrt_rank"),
        (0.005, 8, "rank"),
        (0.005, 1, "rank"),
        (0.005, 1, "sqrt_rank"),
    ]
    found = points(lambda rate, rank, alpha: 1000 * rate + rank, rows=rows)
    _, figure = axis_figures(found, [FID], "fashion")["heat-fashion"]
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["13.00", "2.00", "6.00", "–"]
