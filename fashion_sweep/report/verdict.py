"""The verdict on an evaluation set: what the race of all trials allows one to conclude."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

from fashion_sweep.judging.race import races_of
from fashion_sweep.judging.standing import RaceStanding, standings
from fashion_sweep.metrics.metric import Metric
from fashion_sweep.report.finding import classify
from fashion_sweep.report.results import Results
from fashion_sweep.report.verdict_headline import headline
from fashion_sweep.report.verdict_sentence import basis, sentence
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.statistics.bounds import Margins
from fashion_sweep.statistics.comparison import Difference
from fashion_sweep.statistics.race import Race
from fashion_sweep.storage.files import read_json, read_what_may_be_lost


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SharedLook:
    """The last look that all configurations share: what can be set side by side, for it is on the same images."""

    images: int
    estimates: Mapping[str, Mapping[str, Interval]]
    """As of `Verdict`, on these images; they differ by what the verdict takes for their differences."""
    variances: Mapping[str, Sequence[Sequence[float]]]
    """The variances of the differences of each two, by metric: K,K in the order of `estimates`."""


@dataclass(frozen=True)
class Verdict:
    """The verdict on one evaluation set; configurations are named by their titles."""

    evaluation_set: str
    margins: Margins
    images: Mapping[str, int]
    """The images by which each configuration counts."""
    images_drawn: int
    """The images of all trials by which they count, and how many all of them would be."""
    images_in_all: int
    leaders: Mapping[str, str]
    """The best configuration as measured, of those with the most images, by metric of the verdict."""
    looks: Mapping[int, Mapping[str, Mapping[str, Interval]]]
    """By how much each configuration was worse than the leaders at each look, within the bounds that the race goes by;
    keys as of `estimates`."""
    shared: SharedLook
    standings: Mapping[str, RaceStanding]
    """How each configuration stands in the race."""
    end: str | None
    """Why the race is over; None while it goes on."""
    captions: int
    """The number of captions that could be judged; more images than these repeat some."""
    images_needed: int | None
    """The images that would decide, if the differences stay; None where it is decided, or no number would do."""
    seeds: int
    """The number of trainings of each configuration; the smallest number of any."""
    estimates: Mapping[str, Mapping[str, Interval]]
    """The estimates by configuration, then by metric of the verdict: in the units of tables, less its bias."""
    front: tuple[str, ...]
    """The configurations on the Pareto front, as measured."""
    possible: tuple[str, ...]
    """The configurations on the front, and those not shown to be off it."""
    chosen: str | None
    """The configuration that is chosen; None: the numbers decide nothing."""
    best: str
    """The chosen configuration, else that which is best in the first metric."""
    best_trial: str
    """The id of the best configuration's trial that is best in the first metric."""
    headline: str
    """The verdict in one short sentence."""
    sentence: str
    """The verdict at length, with what is shown, what is not, and what would decide it."""
    basis: str
    """The sentence that says what headline and sentence rest on."""

    @property
    def is_race(self) -> bool:
        """Whether judging could have ended before all images were judged."""
        return self.images_drawn < self.images_in_all or len(self.looks) > 1


Verdicts = Mapping[str, Verdict]
"""The verdicts by evaluation set; one that allows none is left out."""


def verdicts_of(run: RunPaths, results: Results) -> dict[str, Verdict]:
    """Returns the verdicts by evaluation set; one that allows none is left out: nothing was judged, or long ago.

    Raises:
        RunError: trials were judged on different images, or the estimates of one are damaged.
    """
    races = races_of(run, results.config)
    is_over = results.over == results.wanted and all(race.end for race in races.values())
    return {name: _verdict(name, results, race, _captions(run, name), is_over) for name, race in races.items()}


def _verdict(name: str, results: Results, race: Race, captions: int, is_over: bool) -> Verdict:
    config, first = results.config, race.metrics[0]
    finding = classify(race, captions, _image_seconds(results, name))
    trials = [one for one in results.trials if one.spec.configuration.title == race.best and name in one.evaluations]
    trained = [one.seeds for one in race.measured if one.parameters]
    trainings, expected = sum(one.seeds for one in race.measured), race.rules.entrants * config.sweep.seeds
    return Verdict(
        evaluation_set=name,
        margins=race.margins,
        images=race.images,
        images_drawn=sum(race.images[one.name] * one.seeds for one in race.measured),
        images_in_all=config.preset.evaluation.samples * (trainings if is_over else max(trainings, expected)),
        leaders={metric.name: title for metric, title in _leaders(race).items()},
        looks={images: _behind(race, images) for images in race.comparisons},
        shared=_shared(race),
        standings=standings(race, is_over),
        end=race.end,
        captions=captions,
        images_needed=finding.images_needed,
        seeds=min(trained, default=1),
        estimates={
            one.name: {metric.name: _interval(race.estimate(metric, one)) for metric in race.metrics}
            for one in race.measured
        },
        front=race.front(surely=False),
        possible=race.front(surely=True),
        chosen=race.chosen,
        best=race.best,
        best_trial=min(trials, key=lambda trial: trial.on(name).rank(first)).spec.trial_id,
        headline=headline(finding, is_over),
        sentence=sentence(finding, name),
        basis=basis(race),
    )


def _image_seconds(results: Results, name: str) -> float | None:
    """Returns how long a lane took to draw and judge an image; None where trials do not say, or drew for other sets."""
    judged = [(trial.seconds.get("judge"), trial.on(name).samples) for trial in results.trials]
    known = [(seconds, images) for seconds, images in judged if seconds and images]
    if not known or len(results.config.sweep.judge) > 1:
        return None
    return sum(seconds for seconds, _ in known) / sum(images for _, images in known)


def read_verdicts(run: RunPaths) -> dict[str, Verdict]:
    """Reads the verdicts that the report of `run` came to, by evaluation set."""
    return {name: _read(values) for name, values in read_what_may_be_lost(run.results).get("verdicts", {}).items()}


def as_json(verdict: Verdict) -> dict[str, Any]:
    return asdict(verdict) | {"margins": {**verdict.margins.by_metric, "level": verdict.margins.level}}


def _read(values: Mapping[str, Any]) -> Verdict:
    by_metric = dict(values["margins"])
    looks = {int(images): _intervals(at) for images, at in values["looks"].items()}
    standings = {title: RaceStanding.read(one) for title, one in values["standings"].items()}
    parts = {
        "estimates": _intervals(values["estimates"]),
        "looks": looks,
        "shared": SharedLook(**{**values["shared"], "estimates": _intervals(values["shared"]["estimates"])}),
        "standings": standings,
        "margins": Margins(level=by_metric.pop("level"), by_metric=by_metric),
    }
    return Verdict(**{**values, **parts, **{name: tuple(values[name]) for name in ("front", "possible")}})


def _intervals(values: Mapping[str, Any]) -> dict[str, dict[str, Interval]]:
    return {
        title: {metric: Interval(**interval) for metric, interval in metrics.items()}
        for title, metrics in values.items()
    }


def _leaders(race: Race) -> dict[Metric, str]:
    most = max(race.images.values())
    furthest = [name for name, images in race.images.items() if images == most]
    return {metric: race.best_in(metric, furthest).name for metric in race.metrics}


def _behind(race: Race, images: int) -> dict[str, dict[str, Interval]]:
    comparison, behind = race.comparisons[images], dict[str, dict[str, Interval]]()
    levels = race.rules.levels(len(race.metrics))[race.rules.looks.index(images)]
    there = {one.name: one for one in comparison.measured}
    for metric, name in _leaders(race).items():
        if leader := there.get(name):
            for title, one in there.items():
                by = comparison.worse_by(metric, one, leader)
                interval = Interval(by.value, by.at_least(levels.worse), by.at_most(levels.good))
                behind.setdefault(title, {})[metric.name] = interval
    return behind


def _shared(race: Race) -> SharedLook:
    images = min(race.images.values())
    comparison = race.comparisons[images]
    measured = comparison.measured
    best = {metric: comparison.best_in(metric) for metric in race.metrics}
    rests = {metric: one.metrics[metric.name].rest for metric, one in best.items()}
    estimates: dict[str, dict[str, Interval]] = {one.name: {} for one in comparison.measured}
    for one, metric in product(comparison.measured, race.metrics):
        shift = one.metrics[metric.name].rest - rests[metric]  # differences keep what they have in common
        estimate = comparison.estimate(metric.name, one)
        estimates[one.name][metric.name] = _interval(replace(estimate, value=estimate.value + shift))
    variances = {
        metric.name: [
            [0.0 if one is other else comparison.difference(metric.name, one, other).se ** 2 for other in measured]
            for one in measured
        ]
        for metric in race.metrics
    }
    return SharedLook(images, estimates, variances)


def _interval(one: Difference) -> Interval:
    return Interval(one.value, *one.within(0.95))


def _captions(run: RunPaths, name: str) -> int:
    return len(read_json(run.catalogue(name))["records"])
