"""Several runs in one table and one plot, where their numbers are of one kind; refused where they are not."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fashion_sweep.errors import RunError
from fashion_sweep.report.html import as_html
from fashion_sweep.report.markdown import as_markdown
from fashion_sweep.report.page import conclusions_of
from fashion_sweep.report.points import Conclusions, Point, points
from fashion_sweep.report.results import Judgement, Results, collect
from fashion_sweep.report.sections import Bullets, Picture, Section, with_interval
from fashion_sweep.report.spreadsheet import table_csv, trial_rows
from fashion_sweep.report.tables import GAP, Table
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json, write_text

LONGEST = 150
"""Characters of a folder's name; more runs than fit are named by a digest."""
MUST_AGREE = {
    "features": "feature extractors",
    "clip_model": "CLIP models",
    "samples": "numbers of generated images",
    "reference_samples": "numbers of real images",
}


@dataclass(frozen=True)
class Compared:
    """A run with what it found on the common evaluation sets."""

    run: RunPaths
    results: Results
    conclusions: Conclusions


def folder_name(runs: Sequence[RunPaths]) -> str:
    joined = "+".join(run.name for run in runs)
    return joined if len(joined) <= LONGEST else f"{len(runs)}-runs-{hashlib.sha256(joined.encode()).hexdigest()[:12]}"


def write_side_by_side(runs: Sequence[RunPaths], folder: Path) -> list[Table]:
    """Writes `side-by-side.html`, `.md`, `.csv` and plots into `folder`; the tables, one an evaluation set.

    Raises:
        RunError: the runs do not measure the same; says what differs and where.
    """
    from fashion_sweep.report.plots_of_runs import write_plot  # matplotlib takes half a second to import

    if twice := [run.name for run in runs if [other.name for other in runs].count(run.name) > 1]:
        raise RunError(f"two of the runs are named {twice[0]}; a table could not tell them apart")
    found = [(run, collect(run)) for run in runs]
    names = common_sets([results for _, results in found])
    for name in names:
        check_alike({run.name: results.judgements(name) for run, results in found}, name)
        _check_references(runs, name)
    compared = [Compared(run, results, conclusions_of(run, results)) for run, results in found]
    for name in names:
        _check_bias([one for one in compared if one.results.judgements(name)], name)
    tables, pictures = [], []
    for name in names:
        shown = {one.run.name: points(one.results, name, one.conclusions.get(name)) for one in compared}
        tables.append(_table(compared, name, shown))
        plot = write_plot(folder / f"parameters-{name}", _titles(compared, name), shown)
        description = f"FID and CLIP score on {name} against the number of trained parameters"
        pictures += [] if plot is None else [Picture(plot, description)]
    said = [
        Section("Numbers", tuple(tables)),
        Section("Quality against size", tuple(pictures)),
        Section("Runs", (Bullets(tuple(_described(one) for one in compared)),)),
    ]
    said = [section for section in said if section.blocks]
    title, subtitle = " and ".join(run.name for run in runs), "Runs side by side"
    write_text(folder / "side-by-side.md", as_markdown(title, said, folder))
    write_text(folder / "side-by-side.html", as_html(title, subtitle, said))
    rows = [{"run": one.run.name, **row} for one in compared for row in trial_rows(one.results, names, one.conclusions)]
    write_text(folder / "side-by-side.csv", table_csv(rows))
    return tables


def common_sets(found: Sequence[Results]) -> list[str]:
    """Evaluation sets that all runs judged on."""
    common = [name for name in found[0].config.sweep.judge if all(name in one.config.sweep.judge for one in found)]
    if not common:
        judged = "; ".join(f"{one.run} on {', '.join(one.config.sweep.judge)}" for one in found)
        raise RunError(f"the runs were judged on different evaluation sets and have none in common: {judged}")
    return list(common)


def check_alike(judged: Mapping[str, Sequence[Judgement]], name: str) -> None:
    """That numbers of one evaluation set can share a column: same models, same counts.

    Args:
        judged: by run.
    """
    for attribute, what in MUST_AGREE.items():
        by_run = {run: _values(judgements, attribute) for run, judgements in judged.items() if judgements}
        if len({value for values in by_run.values() for value in values}) > 1:
            said = "; ".join(f"{run}: {' and '.join(values)}" for run, values in by_run.items())
            raise RunError(f"the runs cannot share a table, for {what} on {name} differ: {said}")


def _values(judgements: Sequence[Judgement], attribute: str) -> list[str]:
    known = {getattr(judgement, attribute) for judgement in judgements}
    return sorted("unknown" if value is None else str(value) for value in known)


def _check_references(runs: Sequence[RunPaths], name: str) -> None:
    """Equal counts do not make equal images: the cache that a reference came from is named by what is in it."""
    key = f"reference-{name}"
    used = {run.name: Path(read_json(run.caches, {})[key][0]).name for run in runs if key in read_json(run.caches, {})}
    if len(set(used.values())) > 1:
        said = "; ".join(f"{run}: {cache.removeprefix(key + '-')}" for run, cache in used.items())
        raise RunError(f"the runs cannot share a table, for the real images on {name} differ: {said}")


def _check_bias(compared: Sequence[Compared], name: str) -> None:
    """FID less its bias is another number than FID."""
    known = [one.run.name for one in compared if name in one.conclusions]
    if known and len(known) < len(compared):
        others = ", ".join(one.run.name for one in compared if one.run.name not in known)
        raise RunError(
            f"the runs cannot share a table, for FID on {name} is corrected for its bias in {', '.join(known)} only "
            f"and not in {others}"
        )


def _titles(compared: Sequence[Compared], name: str) -> dict[str, str]:
    """Of the plots; what the numbers rest on is the same in all runs."""
    bias = " less its bias" if any(name in one.conclusions for one in compared) else ""
    judged = _any_judgement(compared, name)
    return {
        "FID": f"FID{bias} on {name}: {judged.features or GAP} features, {judged.samples or GAP} images",
        "CLIP score": f"CLIP score on {name}: {judged.clip_model or GAP}",
    }


def _table(compared: Sequence[Compared], name: str, shown: Mapping[str, Sequence[Point]]) -> Table:
    titles = list(dict.fromkeys(point.title for found in shown.values() for point in found))
    rows = [
        (
            point.title,
            run,
            GAP if point.parameters is None else f"{point.parameters:,}",
            with_interval(point.fid),
            with_interval(point.clip_score),
        )
        for title in titles
        for run, found in shown.items()
        for point in found
        if point.title == title
    ]
    columns = ("configuration", "run", "parameters", "FID∞ ↓ (95 %)", "CLIP ↑ (95 %)")
    judged = _any_judgement(compared, name)
    real = GAP if judged.reference_samples is None else f"{judged.reference_samples:,}"
    caption = f"{'; '.join(_titles(compared, name).values())}; {real} real images."
    return Table(f"Configurations on {name}", columns, tuple(rows), caption, text_columns=2)


def _any_judgement(compared: Sequence[Compared], name: str) -> Judgement:
    return next((judged for one in compared for judged in one.results.judgements(name)), Judgement())


def _described(one: Compared) -> tuple[str, str]:
    sweep, facts = one.results.config.sweep, one.results.facts
    return one.run.name, (
        f"{sweep.name} on preset {one.results.config.preset.name}: {sweep.question} "
        f"Started {facts.get('started', GAP)}, git commit {facts.get('git_commit') or GAP}"
    )
