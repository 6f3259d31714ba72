"""How often a race decides, on how many images, and how often it is wrong, where the truth is known: a simulation.

    python benchmarks/race_errors.py                      # 2,000 races a case, an hour on two cores
    python benchmarks/race_errors.py --repetitions 200 --case "tie at the margin"

Configurations share .8 of the variance of their images' features, and of their CLIP scores; the FID of each is known.
Beside the race: the same configurations on all images at once, by the same rule without looks, and by a sequence of
tests from the largest down that ends with its first failure, which needs no correction but an order.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import stats
from simulated import drawn, in_common, of_a_configuration, standard_normal_images

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.metrics.clip_score import CLIP_SCORE
from fashion_sweep.metrics.evaluate import evaluate
from fashion_sweep.metrics.fid import FID
from fashion_sweep.metrics.metric import RealImages
from fashion_sweep.statistics.comparison import Candidate, Comparison, Measured, measure
from fashion_sweep.statistics.contest import Contest, Entrant
from fashion_sweep.statistics.race import Race, run_race
from fashion_sweep.statistics.rules import Rules

DIMENSION, WIDE = 16, 3.0
"""Of features; the spread of CLIP scores."""
LOOKS = (64, 128, 256, 512, 1024)
MARGINS = {"fid": 0.25, "clip_score": 0.3}
METRICS = (FID, CLIP_SCORE)
EVALUATION = load_run_config("exp2", "tiny").preset.evaluation


@dataclass(frozen=True)
class Case:
    """Configurations, the smallest first, by how much more FID and less CLIP score they have than the best."""

    name: str
    fid: Sequence[float]
    clip_score: Sequence[float] = ()
    freedom: float | None = None
    """Of Student's t, for images with heavy tails; None for Gaussian ones."""
    of_a_prompt: int = 1
    """The images of one prompt, which have half of what they share in common."""
    of_the_best_alone: bool = False
    """Whether that is so of the best configuration alone; images of others are all independent draws."""
    failures: float = 0.0
    """The share of images of those that are not the best which fail: only these make their CLIP score worse."""
    seeds: int = 1
    between_seeds: float = 0.0
    """The spread of the FID between trainings."""

    @property
    def worst(self) -> list[float]:
        """By how many margins each is worse than the best in any metric."""
        clip = self.clip_score or [0.0] * len(self.fid)
        return [
            max((fid - min(self.fid)) / MARGINS["fid"], (score - min(clip)) / MARGINS["clip_score"])
            for fid, score in zip(self.fid, clip, strict=True)
        ]


RANKS = [0.53, 0.17, 0.09, 0.0, 0.29]
CASES = [
    Case("a tie of five", [0.0] * 5),
    Case("a tie at the margin", [0.25, 0.0]),
    Case("all but the largest at the margin", [0.25] * 4 + [0.0]),
    Case("half at the margin, of 12", [0.25] * 6 + [0.0] * 6),
    Case("half at the margin, of 16", [0.25] * 8 + [0.0] * 8),
    Case("both metrics at the margin", [0.25, 0.0, 0.0], [0.0, 0.3, 0.0]),
    Case("ranks of the embedded world", RANKS, [0.4, 0.1, 0.0, 0.08, 0.26]),
    Case("ranks of the study", [0.37, 0.2, 0.1, 0.05, 0.0], [1.46, 0.9, 0.4, 0.1, 0.0]),
    Case("a largest that is worse", [0.0, 0.0, 0.0, 0.0, 0.45], [0.0, 0.0, 0.0, 0.0, 0.5]),
    Case("heavy tails, at the margin", [0.25, 0.25, 0.0], freedom=8.0),
    Case("eight images a prompt, at the margin", [0.25, 0.25, 0.0], of_a_prompt=8),
    Case("eight images a prompt, of the best alone", [0.25, 0.0], of_a_prompt=8, of_the_best_alone=True),
    Case("2 % of images fail", [0.0001, 0.0], [0.3, 0.0], failures=0.02),
    Case("three trainings, at the margin", [0.25, 0.25, 0.0], seeds=3, between_seeds=0.08),
]


class World:
    """Images of the configurations of a case, drawn once."""

    def __init__(self, case: Case, generator: np.random.Generator) -> None:
        self.case, images = case, LOOKS[-1]
        self.prompts = np.arange(images) // case.of_a_prompt
        self._shared = in_common(generator, self.prompts, DIMENSION + 1, case.freedom)
        self._apart = drawn(generator, images, DIMENSION + 1) if case.of_the_best_alone else self._shared
        self._failing = generator.random((len(case.fid), images)) < case.failures
        self._own = {
            number: [drawn(generator, images, DIMENSION + 1, case.freedom) for _ in range(case.seeds)]
            for number in range(len(case.fid))
        }
        self._moved = case.between_seeds * generator.standard_normal((len(case.fid), case.seeds))
        self.at = cache(self._at)

    def _at(self, number: int, images: int) -> Measured:
        given = standard_normal_images(DIMENSION)
        clip: float | np.ndarray = (self.case.clip_score or [0.0] * len(self.case.fid))[number]
        if self.case.failures:
            clip = self._failing[number, :images] * clip / self.case.failures
        shared = self._shared if self.case.fid[number] == min(self.case.fid) else self._apart
        by_seed = []
        for seed, own in enumerate(self._own[number]):
            values = of_a_configuration(shared, own)[:images]
            features = values[:, :DIMENSION].copy()
            features[:, 0] += np.sqrt(1.0 + self.case.fid[number] + self._moved[number, seed])
            kept = {"features": features, "clip_scores": 70 - clip + WIDE * values[:, DIMENSION]}
            by_seed.append(evaluate(METRICS, kept, RealImages(kept, given), EVALUATION, self.prompts[:images]))
        return measure(Candidate(f"{number}", number, by_seed), METRICS)

    def race(self, rules: Rules) -> Race:
        entrants = [Entrant(str(number), number, partial(self.at, number)) for number in range(len(self.case.fid))]
        contest = Contest(entrants, METRICS, lambda images: self.prompts[:images], lambda best: MARGINS)
        return run_race(contest, rules)


def in_sequence(comparison: Comparison, level: float) -> str | None:
    """Returns the last to pass, from the largest down, of tests that end with the first failure."""
    chosen = None
    for ours in sorted(comparison.measured, key=lambda one: -one.parameters):
        bounds = [
            one.at_most(level) < MARGINS[metric.name]
            for rival in comparison.measured
            if rival is not ours
            for metric in METRICS
            for one in [comparison.worse_by(metric, ours, rival)]
        ]
        if not all(bounds):
            return chosen
        chosen = ours.name
    return chosen


def simulated(case: Case, repetitions: int) -> Mapping[str, tuple[float, ...]]:
    """Returns by rule: how often it was wrong, chose, chose the smallest that is good, was decided; images used."""
    generator, worst = np.random.default_rng(0), case.worst
    smallest = next((number for number, gap in enumerate(worst) if gap < 1), None)
    found: dict[str, list[tuple[float, ...]]] = {"race": [], "all at once": [], "in sequence": []}
    rules = Rules(LOOKS, len(case.fid))
    for _ in track(range(repetitions), case.name, transient=True):
        world = World(case, generator)
        races = {"race": world.race(rules), "all at once": world.race(replace(rules, looks=LOOKS[-1:]))}
        chosen = {name: race.chosen for name, race in races.items()}
        comparison = races["all at once"].comparisons[LOOKS[-1]]
        chosen["in sequence"] = in_sequence(comparison, rules.level)
        for name, choice in chosen.items():
            race = races.get(name)
            is_wrong = choice is not None and worst[int(choice)] >= 1 - 1e-9
            used = sum(race.images.values()) / (len(worst) * LOOKS[-1]) if race else 1.0
            decided = race is not None and race.end == "decided"
            found[name].append((is_wrong, choice is not None, choice == str(smallest), decided, used))
    return {name: tuple(np.mean(values, axis=0)) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=2000)
    parser.add_argument("--case", action="append", help="part of a case's name")
    known = parser.parse_args()
    title = f"{known.repetitions} races a case, {stats.norm.interval(0.95)[1]:.2f} errors of a rate of 5 % are "
    title += f"{196 * np.sqrt(0.05 * 0.95 / known.repetitions):.1f} %"
    table = Table("case", "rule", "wrong", "chose", "the smallest good", "decided", "images", title=title)
    for case in CASES:
        if known.case and not any(part in case.name for part in known.case):
            continue
        for number, (rule, values) in enumerate(simulated(case, known.repetitions).items()):
            shares = [f"{100 * value:.1f} %" for value in values]
            table.add_row("" if number else case.name, rule, *shares, end_section=number == 2)
    Console().print(table)


if __name__ == "__main__":
    main()
