"""The verdict on an evaluation set: what the estimates of all trials allow one to conclude."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fashion_sweep.config.judging import Choice
from fashion_sweep.config.trial_spec import TrialSpec, lie_on_one_axis
from fashion_sweep.errors import RunError
from fashion_sweep.metrics.estimates_file import read_estimates
from fashion_sweep.metrics.halves import prompt_groups
from fashion_sweep.metrics.metric import Metric, metrics_of
from fashion_sweep.report.finding import classify
from fashion_sweep.report.results import Results, TrialResult
from fashion_sweep.report.verdict_headline import headline
from fashion_sweep.report.verdict_sentence import basis, sentence
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.statistics.comparison import Candidate, Comparison, Measured, measure
from fashion_sweep.statistics.selection import Margins, decide
from fashion_sweep.storage.files import read_json, read_what_may_be_lost


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """The verdict on one evaluation set; configurations are named by their titles."""

    evaluation_set: str
    margins: Margins
    images: int
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


Verdicts = Mapping[str, Verdict]
"""The verdicts by evaluation set; one that allows none is left out."""


def verdicts_of(run: RunPaths, results: Results) -> dict[str, Verdict]:
    """Returns the verdicts by evaluation set; one that allows none is left out."""
    verdicts = {name: conclude(run, results, name) for name in results.config.sweep.judge}
    return {name: verdict for name, verdict in verdicts.items() if verdict is not None}


def conclude(run: RunPaths, results: Results, name: str) -> Verdict | None:
    """Draws the verdict on a set; None where no configuration is judged, or the run folder has no estimates.

    Raises:
        RunError: trials were judged on different images, or the estimates of one are damaged.
    """
    groups, metrics = _by_configuration(results, name), metrics_of(results.config.sweep.judge[name])
    paths = [run.trial(trial.spec.trial_id).estimates(name) for trials in groups.values() for trial in trials]
    if not any(path.is_file() for path in paths):
        return None
    measured, prompts = [], None
    for spec, trials in groups.items():
        names = results.config.sweep.judge[name]
        estimates = [read_estimates(run.trial(trial.spec.trial_id).estimates(name), names) for trial in trials]
        prompts = estimates[0].prompts if prompts is None else prompts
        if any(other.prompts != prompts for other in estimates):
            raise RunError(f"{run.name}: the trials of {spec.title} were judged on {name} by other prompts")
        candidate = Candidate(spec.title, trials[0].parameters or 0, [one.metrics for one in estimates])
        measured.append(measure(candidate, metrics))
    captions = _captions(run, name)
    prompt_of = prompt_groups([captions[prompt] for prompt in prompts or ()])
    return _verdict(name, results, groups, Comparison(measured, prompt_of, metrics), len(captions))


def _verdict(
    name: str,
    results: Results,
    groups: Mapping[TrialSpec, Sequence[TrialResult]],
    comparison: Comparison,
    captions: int,  # that could be judged
) -> Verdict:
    first = comparison.metrics[0]
    best_values = {metric.name: comparison.best_in(metric).metrics[metric.name].value for metric in comparison.metrics}
    margins = margins_of(results.config.sweep.choose, comparison.metrics, best_values)
    selection = decide(comparison, margins, lie_on_one_axis(list(groups)))
    finding = classify(comparison, selection, margins, captions)
    best = selection.chosen or comparison.best_in(first).name
    trials = next(trials for spec, trials in groups.items() if spec.title == best)
    return Verdict(
        evaluation_set=name,
        margins=margins,
        images=len(comparison.prompts),
        captions=captions,
        images_needed=finding.images_needed,
        seeds=min((len(trials) for spec, trials in groups.items() if not spec.is_base_model), default=1),
        estimates={one.name: _intervals(comparison, one) for one in comparison.measured},
        front=selection.front,
        possible=selection.possible,
        chosen=selection.chosen,
        best=best,
        best_trial=min(trials, key=lambda trial: trial.on(name).rank(first)).spec.trial_id,
        headline=headline(finding),
        sentence=sentence(finding, name),
        basis=basis(comparison),
    )


def margins_of(choice: Choice, metrics: Sequence[Metric], best: Mapping[str, float]) -> Margins:
    """Returns the margins of the sweep, else each metric's own; `best` is the best value in each."""
    by_metric = {metric.name: metric.margin.beside(best[metric.name]) for metric in metrics}
    return Margins({name: choice.margins.get(name, margin) for name, margin in by_metric.items()}, choice.level)


def read_verdicts(run: RunPaths) -> dict[str, Verdict]:
    """Reads the verdicts that the report of `run` came to, by evaluation set."""
    return {name: _read(values) for name, values in read_what_may_be_lost(run.results).get("verdicts", {}).items()}


def as_json(verdict: Verdict) -> dict[str, Any]:
    return asdict(verdict) | {"margins": {**verdict.margins.by_metric, "level": verdict.margins.level}}


def _read(values: Mapping[str, Any]) -> Verdict:
    estimates = {
        title: {metric: Interval(**interval) for metric, interval in metrics.items()}
        for title, metrics in values["estimates"].items()
    }
    by_metric = dict(values["margins"])
    parts = {"estimates": estimates, "margins": Margins(level=by_metric.pop("level"), by_metric=by_metric)}
    return Verdict(**{**values, **parts, **{name: tuple(values[name]) for name in ("front", "possible")}})


def _by_configuration(results: Results, name: str) -> dict[TrialSpec, list[TrialResult]]:
    """Returns the judged trials of each configuration, in the sweep's order."""
    judged = [trial for trial in results.trials if trial.state == "done" and name in trial.evaluations]
    groups: dict[TrialSpec, list[TrialResult]] = {}
    for trial in judged:
        groups.setdefault(trial.spec.configuration, []).append(trial)
    return groups


def _intervals(comparison: Comparison, measured: Measured) -> dict[str, Interval]:
    estimates = {metric.name: comparison.estimate(metric.name, measured) for metric in comparison.metrics}
    return {name: Interval(one.value, *one.within(0.95)) for name, one in estimates.items()}


def _captions(run: RunPaths, name: str) -> dict[str, str]:
    return {record["name"]: record["caption"] for record in read_json(run.catalogue(name))["records"]}
