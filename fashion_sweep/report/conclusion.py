"""What the numbers of a run allow one to conclude on an evaluation set: from the images' features to a verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fashion_sweep.config.sweep import Choice
from fashion_sweep.config.trial_spec import TrialSpec, lie_on_one_axis
from fashion_sweep.errors import RunError
from fashion_sweep.metrics.features_file import Judged
from fashion_sweep.metrics.fid import FeatureStats
from fashion_sweep.report.headline import headline, images_needed
from fashion_sweep.report.results import Results, TrialResult
from fashion_sweep.report.wording import basis, sentence
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.statistics.comparison import METRICS, Candidate, Comparison, Measured, measure
from fashion_sweep.statistics.selection import Margins, decide
from fashion_sweep.storage.files import is_whole, read_json, read_what_may_be_lost

LEAST_FID_MARGIN, FID_MARGIN_SHARE = 0.5, 0.03


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Conclusion:
    """Configurations are named by their titles."""

    evaluation_set: str
    margins: Margins
    images: int
    captions: int
    """That could be judged; more images than these repeat some."""
    images_needed: int | None
    """To decide, if the differences stay as measured; None where it is decided, or no number of images would do."""
    seeds: int
    """Trainings of each configuration; the smallest number of any."""
    estimates: Mapping[str, Mapping[str, Interval]]
    """By configuration: `fid`, less its bias, and `clip_score`."""
    front: tuple[str, ...]
    """As measured."""
    possible: tuple[str, ...]
    """The front, and what is not shown to be off it."""
    chosen: str | None
    """None: the numbers decide nothing."""
    best: str
    """The chosen one, else that of lowest FID."""
    best_trial: str
    """Id of its trial of lowest FID."""
    headline: str
    """The verdict in one short sentence."""
    sentence: str
    """The same with what is shown, what is not, and what would decide it."""
    basis: str
    """What both rest on, as a sentence."""


def conclude(run: RunPaths, results: Results, name: str) -> Conclusion | None:
    """None where no configuration is judged, or the run folder has no reference statistics.

    Raises:
        RunError: trials were judged on different images, or the features of one are damaged.
    """
    groups = _by_configuration(results, name)
    if not groups or not is_whole(run.reference(name)):
        return None
    reference = FeatureStats.load(run.reference(name))
    measured, prompts = [], None
    for spec, trials in groups.items():
        judged = [Judged.load(run.trial(trial.spec.trial_id).features(name)) for trial in trials]
        prompts = judged[0].prompts if prompts is None else prompts
        if any(other.prompts != prompts for other in judged):
            raise RunError(f"{run.name}: the trials of {spec.title} were judged on {name} by other prompts")
        if any(one.features.shape[1] != len(reference.mean) for one in judged):
            raise RunError(f"{run.name}: the features of {spec.title} are of another extractor than the real images'")
        parameters = trials[0].parameters or 0
        features, scores = [one.features for one in judged], [one.clip_scores for one in judged]
        measured.append(measure(Candidate(spec.title, parameters, features, scores), reference))
    captions = _captions(run, name)
    _, groups_of_prompts = np.unique([captions[prompt] for prompt in prompts or ()], return_inverse=True)
    return _conclusion(
        name, results, groups, Comparison(measured, groups_of_prompts, len(reference.mean)), len(captions)
    )


def _conclusion(
    name: str,
    results: Results,
    groups: Mapping[TrialSpec, Sequence[TrialResult]],
    comparison: Comparison,
    captions: int,  # that could be judged
) -> Conclusion:
    margins = margins_of(results.config.sweep.choose, min(one.fid.value for one in comparison.measured))
    verdict = decide(comparison, margins, lie_on_one_axis(list(groups)))
    best = verdict.chosen or min(comparison.measured, key=lambda one: one.fid.value).name
    trials = next(trials for spec, trials in groups.items() if spec.title == best)
    return Conclusion(
        evaluation_set=name,
        margins=margins,
        images=len(comparison.prompts),
        captions=captions,
        images_needed=images_needed(comparison, verdict),
        seeds=min((len(trials) for spec, trials in groups.items() if not spec.is_base_model), default=1),
        estimates={one.name: _estimates(comparison, one) for one in comparison.measured},
        front=verdict.front,
        possible=verdict.possible,
        chosen=verdict.chosen,
        best=best,
        best_trial=min(trials, key=lambda trial: trial.judged(name).fid or np.inf).spec.trial_id,
        headline=headline(comparison, verdict, margins.level, captions),
        sentence=sentence(comparison, margins, verdict, name, captions),
        basis=basis(comparison),
    )


def margins_of(choice: Choice, best_fid: float) -> Margins:
    fid = choice.fid_margin or max(LEAST_FID_MARGIN, FID_MARGIN_SHARE * best_fid)
    return Margins(fid, choice.clip_score_margin, choice.level)


def read_conclusions(run: RunPaths) -> dict[str, Conclusion]:
    """Those that the report of `run` came to, by evaluation set."""
    return {name: _read(values) for name, values in read_what_may_be_lost(run.results).get("verdicts", {}).items()}


def as_json(conclusion: Conclusion) -> dict[str, Any]:
    return asdict(conclusion)


def _read(values: Mapping[str, Any]) -> Conclusion:
    estimates = {
        title: {metric: Interval(**interval) for metric, interval in metrics.items()}
        for title, metrics in values["estimates"].items()
    }
    parts = {"estimates": estimates, "margins": Margins(**values["margins"])}
    return Conclusion(**{**values, **parts, **{name: tuple(values[name]) for name in ("front", "possible")}})


def _by_configuration(results: Results, name: str) -> dict[TrialSpec, list[TrialResult]]:
    """The judged trials of each configuration, in the sweep's order."""
    judged = [trial for trial in results.trials if trial.state == "done" and name in trial.evaluations]
    groups: dict[TrialSpec, list[TrialResult]] = {}
    for trial in judged:
        groups.setdefault(trial.spec.configuration, []).append(trial)
    return groups


def _estimates(comparison: Comparison, measured: Measured) -> dict[str, Interval]:
    found = {metric: comparison.estimate(metric, measured) for metric in METRICS}
    return {metric: Interval(one.value, *one.within(0.95)) for metric, one in found.items()}


def _captions(run: RunPaths, name: str) -> dict[str, str]:
    return {record["name"]: record["caption"] for record in read_json(run.catalogue(name))["records"]}
