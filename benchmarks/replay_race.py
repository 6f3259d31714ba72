"""The race on what real runs have judged, over and over, each time with their images in another order.

    python -m fashion_sweep run exp2 --name full --set evaluation.samples=4096 --set sweep.choose.race=false
    python benchmarks/replay_race.py full                          # 200 replays
    python benchmarks/replay_race.py full --choose "{indifference: 0.3, looks: [256, 1024, 4096]}"

A replay shuffles the prompts of a run, all trials alike, and runs the race from its features as if they were drawn
then. Beside each other: the share of the images of all trials, how often the race was decided and came to the verdict
that all images give, and how often it chose a configuration that by all images is worse than the best by a margin.
That can only be where one is, so the gaps stand below.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table
from safetensors.numpy import load_file

from fashion_sweep.config.judging import Choice
from fashion_sweep.config.loading import read_run_config
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.data.catalogue import read_catalogue
from fashion_sweep.data.split import judged_records
from fashion_sweep.encodings.caches import read_caches
from fashion_sweep.encodings.real_images import read_real_images
from fashion_sweep.judging.looks import rules_of
from fashion_sweep.judging.race import judged_configurations, margins_of
from fashion_sweep.metrics.evaluate import evaluate
from fashion_sweep.metrics.metric import RealImages, metrics_of
from fashion_sweep.metrics.prompts import prompt_groups
from fashion_sweep.planning.space import parameters_of
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.statistics.comparison import Candidate, Measured, measure
from fashion_sweep.statistics.contest import Contest, Entrant
from fashion_sweep.statistics.race import Race, run_race
from fashion_sweep.statistics.rules import Rules


@dataclass(frozen=True)
class Sample:
    """What a run has judged on a set: of each configuration what is kept of its images, by training."""

    config: RunConfig
    name: str
    kept: Mapping[str, list[dict[str, np.ndarray]]]
    parameters: Mapping[str, int]
    captions: np.ndarray
    real: RealImages

    @property
    def images(self) -> int:
        return len(self.captions)

    def contest(self, order: np.ndarray) -> Contest:
        """Returns what a race is about whose images come in this order."""
        metrics = metrics_of(self.config.sweep.judge[self.name])
        groups = cache(lambda images: prompt_groups(list(self.captions[order[:images]])))

        def at(title: str, images: int) -> Measured | None:
            rows = order[:images]
            by_seed = [
                evaluate(
                    metrics,
                    {key: values[rows] for key, values in one.items()},
                    self.real,
                    self.config.preset.evaluation,
                    groups(images),
                )
                for one in self.kept[title]
            ]
            return measure(Candidate(title, self.parameters[title], by_seed), metrics)

        margins = partial(margins_of, self.config.sweep.choose, metrics, preset=self.config.preset.margins)
        entrants = [Entrant(title, size, cache(partial(at, title))) for title, size in self.parameters.items()]
        return Contest(entrants, metrics, groups, margins)


def read_sample(run: RunPaths, config: RunConfig, name: str) -> Sample:
    """Reads what the trials of a run have judged; as many images of each as all have."""
    groups = judged_configurations(run, config, name)
    kept = {
        title: [load_file(run.trial(spec.trial_id).features(name)) for spec in specs] for title, specs in groups.items()
    }
    images = min(len(rows) for of_title in kept.values() for one in of_title for rows in one.values())
    catalogue = read_catalogue(run.catalogue(name))
    records = judged_records(catalogue, config.preset.generation.seed, images)
    return Sample(
        config=config,
        name=name,
        kept={title: [{key: rows[:images] for key, rows in one.items()} for one in kept[title]] for title in kept},
        parameters={title: parameters_of(config, specs[0]) for title, specs in groups.items()},
        captions=np.array([record.caption for record in records], dtype=object),
        real=read_real_images(run, config, name, catalogue, read_caches(run)),
    )


def shuffled(sample: Sample, generator: np.random.Generator) -> np.ndarray:
    """Returns the images in another order, in which prompts come anew once all have come, as when they are drawn."""
    order = generator.permutation(sample.images)
    seen: Counter[str] = Counter()
    times = []
    for index in order:
        times.append(seen[sample.captions[index]])
        seen[sample.captions[index]] += 1
    return order[np.argsort(times, kind="stable")]


def worst_gap(race: Race, title: str) -> float:
    """Returns by how many margins a configuration is worse than any other, in any metric, as measured."""
    return max(bound.worse_by.value / bound.margin for bound in race.bounds_of[title].bounds)


def replayed(sample: Sample, rules: Rules, replays: int) -> dict[str, float | Counter[str]]:
    """Returns what so many races came to, beside the verdict that all images give."""
    single = Rules((sample.images,), rules.entrants, rules.level, rules.indifference)
    whole = run_race(sample.contest(np.arange(sample.images)), single)
    shares, reached, ends, choices = [], [], Counter[str](), Counter[str]()
    same = chosen = wrong = decided = 0
    generator = np.random.default_rng(0)
    for _ in track(range(replays), transient=True):
        contest = sample.contest(shuffled(sample, generator))
        race, at_once = run_race(contest, rules), run_race(contest, replace(rules, looks=rules.looks[-1:]))
        used = sum(race.images[one.name] * one.seeds for one in race.measured)
        trained = sum(one.seeds for one in race.measured)
        shares.append(used / (trained * rules.looks[-1]))
        reached.append(used / (trained * max(race.images.values())))
        ends[race.end or "goes on"] += 1
        choices[race.chosen or ("no single best" if len(race.out) == len(race.images) else "undecided")] += 1
        same += (race.chosen, race.end == "decided") == (at_once.chosen, at_once.end == "decided")
        chosen += race.chosen == at_once.chosen
        decided += at_once.end == "decided"
        wrong += race.chosen is not None and worst_gap(whole, race.chosen) >= 1
    return {
        "share": float(np.mean(shares)),
        "spread": float(np.std(shares)),
        "at one n": float(np.mean(reached)),
        "decided": ends["decided"] / replays,
        "decided by all images": decided / replays,
        "same": same / replays,
        "same choice": chosen / replays,
        "wrong": wrong / replays,
        "choices": choices,
        "with all": Counter([whole.chosen or "undecided"]),
        "worst gaps, in margins": Counter({one.name: round(worst_gap(whole, one.name), 2) for one in whole.measured}),
    }


def with_choice(config: RunConfig, images: int | None, changed: Mapping[str, Any]) -> RunConfig:
    choice = Choice.model_validate(config.sweep.choose.model_dump() | {"race": True} | dict(changed))
    evaluation = config.preset.evaluation
    evaluation = evaluation.model_copy(update={"samples": images or evaluation.samples})
    preset = config.preset.model_copy(update={"evaluation": evaluation})
    return config.model_copy(update={"preset": preset, "sweep": config.sweep.model_copy(update={"choose": choice})})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--replays", type=int, default=200)
    parser.add_argument("--images", type=int, help="the most of a trial; default: all that were judged")
    parser.add_argument("--choose", default="{}", help="settings of sweep.choose that are to be others")
    known = parser.parse_args()
    run, console = RunPaths(runs_root() / known.run), Console()
    config = with_choice(read_run_config(run.config), known.images, yaml.safe_load(known.choose))
    for name in config.sweep.judge:
        sample, rules = read_sample(run, config, name), rules_of(config, name)
        if sample.images < rules.looks[-1]:
            sys.exit(f"{known.run} has judged {sample.images:,} images of each trial: --images {sample.images}")
        found = replayed(sample, rules, known.replays)
        table = Table("", "", title=f"{known.replays} replays of {run.name} on {name}, looks {rules.looks}")
        for key, value in found.items():
            table.add_row(key, f"{value:.3f}" if isinstance(value, float) else str(dict(value)))
        console.print(table)


if __name__ == "__main__":
    main()
