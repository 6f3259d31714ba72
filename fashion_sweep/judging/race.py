"""The race of a run on an evaluation set, read from what its folder holds: so all who ask are told the same."""

from collections.abc import Mapping, Sequence
from functools import cache, partial

import numpy as np

from fashion_sweep.config.judging import Choice
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import RunError
from fashion_sweep.judging.looks import looks_of, rules_of
from fashion_sweep.metrics.estimates_file import read_estimates
from fashion_sweep.metrics.metric import Metric, metrics_of
from fashion_sweep.metrics.prompts import prompt_groups
from fashion_sweep.planning.space import parameters_of
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.specs import run_specs
from fashion_sweep.statistics.comparison import Candidate, Measured, measure
from fashion_sweep.statistics.contest import Contest, Entrant
from fashion_sweep.statistics.race import Race, run_race
from fashion_sweep.storage.files import read_json


def races_of(run: RunPaths, config: RunConfig) -> dict[str, Race]:
    """Returns the races of a run by evaluation set; raises as `race_of`."""
    late = out_of_time(run, config)
    races = {name: race_of(run, config, name, late) for name in config.sweep.judge}
    return {name: race for name, race in races.items() if race is not None}


def race_of(run: RunPaths, config: RunConfig, name: str, out_of_time: bool = False) -> Race | None:
    """Returns how far the race on an evaluation set has come; None where no trial was judged, or not as trials are now.

    Raises:
        RunError: trials were judged on different images, or the estimates of one are damaged.
    """
    rules = rules_of(config, name)
    groups = judged_configurations(run, config, name)
    first = [run.trial(spec.trial_id).estimates(name, rules.looks[0]) for specs in groups.values() for spec in specs]
    if not any(path.is_file() for path in first):
        return None
    judged = _EvaluationSet(run, config, name)
    entrants = [
        Entrant(title, parameters_of(config, specs[0]), partial(judged.measured, tuple(specs)))
        for title, specs in groups.items()
    ]
    margins = partial(margins_of, config.sweep.choose, judged.metrics, preset=config.preset.margins)
    return run_race(Contest(entrants, judged.metrics, judged.prompts, margins), rules, out_of_time)


def out_of_time(run: RunPaths, config: RunConfig) -> bool:
    """Whether judging has taken as long as the sweep allows."""
    hours = config.sweep.choose.budget.hours
    if hours is None:
        return False
    results = [read_json(run.trial(spec.trial_id).result, {}) for spec in run_specs(run, config)]
    return sum(result.get("seconds", {}).get("judge", 0.0) for result in results) > 3600 * hours


def judged_configurations(run: RunPaths, config: RunConfig, name: str) -> dict[str, list[TrialSpec]]:
    """Returns the trials of each configuration that were judged on a set, by its title, in the sweep's order."""
    groups: dict[str, list[TrialSpec]] = {}
    for spec in run_specs(run, config):
        if name in read_json(run.trial(spec.trial_id).result, {}).get("evaluations", {}):
            groups.setdefault(spec.configuration.title, []).append(spec)
    return groups


def margins_of(
    choice: Choice, metrics: Sequence[Metric], best: Mapping[str, float], preset: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Returns the margins of the sweep, else of the preset, else the metrics' own; `best` is the best value in each."""
    own = {metric.name: metric.margin.beside(best[metric.name]) for metric in metrics}
    stated = {**(preset or {}), **choice.margins}
    return {name: stated.get(name, margin) for name, margin in own.items()}


class _EvaluationSet:
    """What was judged on an evaluation set; each file is read once."""

    def __init__(self, run: RunPaths, config: RunConfig, name: str) -> None:
        self._run, self._config, self._name = run, config, name
        self._names, self._first = config.sweep.judge[name], looks_of(config, name)[0]
        self.metrics = metrics_of(self._names)
        self._records: dict[int, list[str]] = {}
        """The records whose captions were drawn, by the number of images."""
        self.measured = cache(self._measured)
        self.prompts = cache(self._prompts)

    def _measured(self, specs: Sequence[TrialSpec], images: int) -> Measured | None:
        paths = [self._run.trial(spec.trial_id).estimates(self._name, images) for spec in specs]
        if images != self._first and not all(path.is_file() for path in paths):
            return None
        estimates, title = [read_estimates(path, self._names) for path in paths], specs[0].configuration.title
        if any(self._records.setdefault(images, one.prompts) != one.prompts for one in estimates):
            raise RunError(f"{self._run.name}: the trials of {title} were judged on {self._name} by other prompts")
        parameters = parameters_of(self._config, specs[0])
        return measure(Candidate(title, parameters, [one.metrics for one in estimates]), self.metrics)

    def _prompts(self, images: int) -> np.ndarray:
        captions = {
            record["name"]: record["caption"] for record in read_json(self._run.catalogue(self._name))["records"]
        }
        return prompt_groups([captions[record] for record in self._records[images]])
