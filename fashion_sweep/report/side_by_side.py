"""Several runs in one table and one plot, where their numbers are of one kind; refused where they are not."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fashion_sweep.errors import RunError
from fashion_sweep.metrics.metric import Metric
from fashion_sweep.report.blocks import Bullets, Picture, Section
from fashion_sweep.report.configurations import Configuration, configurations
from fashion_sweep.report.html import as_html
from fashion_sweep.report.markdown import as_markdown
from fashion_sweep.report.results import Evaluation, Results, collect
from fashion_sweep.report.run_answer import answer_of
from fashion_sweep.report.sections import with_interval
from fashion_sweep.report.spreadsheet import table_csv, trial_rows
from fashion_sweep.report.tables import Table, count
from fashion_sweep.report.verdict import Verdicts, verdicts_of
from fashion_sweep.report.words import GAP, joined
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json, write_text

LONGEST = 150
"""The most characters of a folder's name; more runs than fit are named by a digest."""
MUST_AGREE = {
    "features": "feature extractors",
    "clip_model": "CLIP models",
    "other_networks": "networks of further metrics",
    "samples": "numbers of generated images",
    "reference_samples": "numbers of real images",
}


@dataclass(frozen=True)
class Compared:
    """A run with what it found on the common evaluation sets."""

    run: RunPaths
    results: Results
    verdicts: Verdicts


def folder_name(runs: Sequence[RunPaths]) -> str:
    joined = "+".join(run.name for run in runs)
    return joined if len(joined) <= LONGEST else f"{len(runs)}-runs-{hashlib.sha256(joined.encode()).hexdigest()[:12]}"


def write_side_by_side(runs: Sequence[RunPaths], folder: Path) -> list[Table]:
    """Writes `side-by-side.html`, `.md`, `.csv` and plots into `folder`; returns the tables, one an evaluation set.

    Raises:
        RunError: the runs do not measure the same; says what differs and where.
    """
    from fashion_sweep.report.plots_of_runs import write_plot  # matplotlib takes half a second to import

    if twice := [run.name for run in runs if [other.name for other in runs].count(run.name) > 1]:
        raise RunError(f"two of the runs are named {twice[0]}; a table could not tell them apart")
    collected = [(run, collect(run)) for run in runs]
    names = common_sets([results for _, results in collected])
    for name in names:
        _check_references(runs, name)
    compared = [Compared(run, results, verdicts_of(run, results)) for run, results in collected]
    for name in names:
        judged = {one.run.name: one.results.evaluations_on(name) for one in compared}
        check_alike(judged, name, any_number=all(name in one.verdicts for one in compared if judged[one.run.name]))
        _check_bias([one for one in compared if one.results.evaluations_on(name)], name)
    tables, pictures = [], []
    for name in names:
        metrics = common_metrics([one.results for one in compared], name)
        shown = {one.run.name: configurations(one.results, name, one.verdicts.get(name)) for one in compared}
        titles = _titles(compared, name, metrics)
        tables.append(_table(compared, name, metrics, shown))
        plot = write_plot(folder / f"parameters-{name}", metrics, titles, shown)
        quality = joined([metric.title for metric in metrics])
        description = f"{quality} on {name} against the number of trained parameters"
        pictures += [] if plot is None else [Picture(plot, description)]
    blocks = [
        Section("Numbers", tuple(tables)),
        Section("Quality against size", tuple(pictures)),
        Section("Runs", (Bullets(tuple(_described(one) for one in compared)),)),
    ]
    blocks = [section for section in blocks if section.blocks]
    title, subtitle = " and ".join(run.name for run in runs), "Runs side by side"
    write_text(folder / "side-by-side.md", as_markdown(title, blocks, folder))
    write_text(folder / "side-by-side.html", as_html(title, subtitle, blocks))
    rows = [{"run": one.run.name, **row} for one in compared for row in trial_rows(one.results, names, one.verdicts)]
    write_text(folder / "side-by-side.csv", table_csv(rows))
    return tables


def common_sets(found: Sequence[Results]) -> list[str]:
    """Returns the evaluation sets that all runs judged on."""
    common = [name for name in found[0].config.sweep.judge if all(name in one.config.sweep.judge for one in found)]
    if not common:
        judged = "; ".join(f"{one.run} on {', '.join(one.config.sweep.judge)}" for one in found)
        raise RunError(f"the runs were judged on different evaluation sets and have none in common: {judged}")
    return list(common)


def common_metrics(found: Sequence[Results], name: str) -> list[Metric]:
    """Returns the metrics of the verdict on a set in all runs."""
    common = [metric for metric in found[0].deciding(name) if all(metric in one.deciding(name) for one in found)]
    if not common:
        raise RunError(f"the runs cannot share a table, for their verdicts on {name} have no metric in common")
    return common


def check_alike(judged: Mapping[str, Sequence[Evaluation]], name: str, any_number: bool = False) -> None:
    """Checks that numbers of one evaluation set can share a column: same models, same counts.

    Args:
        judged: by run.
        name: of the evaluation set.
        any_number: whether the numbers of generated images may differ, since what these do to metrics is taken off.
    """
    for attribute, things in MUST_AGREE.items():
        if any_number and attribute == "samples":
            continue
        by_run = {run: _values(judgements, attribute) for run, judgements in judged.items() if judgements}
        if len({value for values in by_run.values() for value in values}) > 1:
            details = "; ".join(f"{run}: {' and '.join(values)}" for run, values in by_run.items())
            raise RunError(f"the runs cannot share a table, for {things} on {name} differ: {details}")


def _values(judgements: Sequence[Evaluation], attribute: str) -> list[str]:
    values = {getattr(judgement, attribute) for judgement in judgements}
    return sorted("unknown" if value is None else str(value) for value in values)


def _check_references(runs: Sequence[RunPaths], name: str) -> None:
    """Checks that runs were judged against the same real images: equal counts do not make equal images.
    The cache that a reference came from is named by what is in it."""
    key = f"reference-{name}"
    used = {run.name: Path(read_json(run.caches, {})[key][0]).name for run in runs if key in read_json(run.caches, {})}
    if len(set(used.values())) > 1:
        details = "; ".join(f"{run}: {cache.removeprefix(key + '-')}" for run, cache in used.items())
        raise RunError(f"the runs cannot share a table, for the real images on {name} differ: {details}")


def _check_bias(compared: Sequence[Compared], name: str) -> None:
    """Checks that no run alone is corrected for bias: a metric less its bias is another number than the metric."""
    corrected = [one.run.name for one in compared if name in one.verdicts]
    biased = [metric.title for one in compared for metric in one.results.deciding(name) if metric.is_biased]
    if biased and corrected and len(corrected) < len(compared):
        uncorrected = ", ".join(one.run.name for one in compared if one.run.name not in corrected)
        raise RunError(
            f"the runs cannot share a table, for {biased[0]} on {name} is corrected for its bias in "
            f"{', '.join(corrected)} only and not in {uncorrected}"
        )


def _titles(compared: Sequence[Compared], name: str, metrics: Sequence[Metric]) -> dict[str, str]:
    """Returns the titles of the plots, by metric; what the numbers rest on is the same in all runs."""
    corrected, judged = any(name in one.verdicts for one in compared), _any_evaluation(compared, name)
    counts = {one.samples for run in compared for one in run.results.evaluations_on(name)}
    images = f", {judged.samples or GAP} images" if len(counts) == 1 else ""
    return {
        metric.name: f"{metric.title}{' less its bias' * (corrected and metric.is_biased)} on {name}: "
        f"{judged.source(metric).partition(' ')[2]}{images * metric.compares_features}"
        for metric in metrics
    }


def _table(
    compared: Sequence[Compared],
    name: str,
    metrics: Sequence[Metric],
    shown: Mapping[str, Sequence[Configuration]],
) -> Table:
    titles = list(dict.fromkeys(one.title for of_run in shown.values() for one in of_run))
    rows = [
        (
            one.title,
            run,
            count(one.parameters),
            count(one.images),
            *(with_interval(metric, one.value(metric)) for metric in metrics),
        )
        for title in titles
        for run, of_run in shown.items()
        for one in of_run
        if one.title == title
    ]
    headings = [f"{metric.heading(less_bias=True, narrow=True)} (95 %)" for metric in metrics]
    judged = _any_evaluation(compared, name)
    real = GAP if judged.reference_samples is None else f"{judged.reference_samples:,}"
    caption = f"{'; '.join(_titles(compared, name, metrics).values())}; {real} real images."
    if len({one.images for of_run in shown.values() for one in of_run}) > 1:
        caption += " Between numbers on different images lies chance that the race of a run leaves out."
    columns = ("configuration", "run", "parameters", "images", *headings)
    return Table(f"Configurations on {name}", columns, tuple(rows), caption, text_columns=2)


def _any_evaluation(compared: Sequence[Compared], name: str) -> Evaluation:
    return next((judged for one in compared for judged in one.results.evaluations_on(name)), Evaluation())


def _described(one: Compared) -> tuple[str, str]:
    sweep, facts = one.results.config.sweep, one.results.facts
    asked = f"{sweep.name} on preset {one.results.config.preset.name}: {sweep.question}"
    source = f"Started {facts.get('started', GAP)}, git commit {facts.get('git_commit') or GAP}"
    return one.run.name, f"{asked} {answer_of(one.results, one.verdicts).headline} {source}"
