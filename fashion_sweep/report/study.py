"""The study's table beside ours: whether both put the configurations into one order."""

from fashion_sweep.report.blocks import Beside, Block, Text
from fashion_sweep.report.configurations import configurations
from fashion_sweep.report.results import Evaluation, Results
from fashion_sweep.report.tables import Table, count, published_tables
from fashion_sweep.report.verdict import Verdict, Verdicts
from fashion_sweep.report.words import GAP


def study_beside_ours(results: Results, verdicts: Verdicts) -> tuple[Block, ...]:
    tables = results.config.sweep.published_and_judged
    if not tables:
        return ()
    warning = Text(
        "Two scales: the study judged Stable Diffusion XL with InceptionV3 features. Compare the order of the "
        "configurations within each table, never a number of one with a number of the other."
    )
    beside = [
        Beside((_ours(results, name, verdicts.get(name)), theirs))
        for name, theirs in zip(tables, published_tables(results), strict=True)
    ]
    orders = [Text(text) for name in tables if (text := _same_order(results, name, verdicts.get(name)))]
    return (warning, *beside, *orders)


def _same_order(results: Results, name: str, verdict: Verdict | None) -> str | None:
    """Says whether the first metric puts the configurations that both tables have into the same order."""
    metric = results.deciding(name)[0]
    sign = 1 if metric.better == "lower" else -1
    if verdict is None:
        shown = configurations(results, name, verdict)
        ours = {one.title: sign * value.value for one in shown if (value := one.value(metric))}
    else:
        ours = {title: sign * by[metric.name].value for title, by in verdict.shared.estimates.items()}
    rows = results.config.sweep.published_and_judged[name]
    theirs = {
        row.configuration: sign * row.metrics[metric.name]
        for row in rows
        if row.configuration in ours and metric.name in row.metrics
    }
    if len(theirs) < 2:
        return None
    mine, study = (sorted(theirs, key=values.__getitem__) for values in (ours, theirs))
    than = " < " if metric.better == "lower" else " > "
    if mine == study:
        return f"By {metric.title} the order on {name} is the study's: {than.join(mine)}."
    return (
        f"By {metric.title} the order on {name} is not the study's: ours {than.join(mine)}; the study's "
        f"{than.join(study)}."
    )


def _ours(results: Results, name: str, verdict: Verdict | None) -> Table:
    metrics = results.deciding(name)
    judged = next(iter(results.evaluations_on(name)), Evaluation())
    biased = [
        f"{one.title}{' less its bias' * (verdict is not None)} {judged.source(one)}"
        for one in metrics
        if one.is_biased
    ]
    title = ", ".join([f"Ours on {name}: preset {results.config.preset.name}", *biased])
    rows = [
        (
            one.title,
            count(one.parameters),
            count(one.images),
            *(GAP if (value := one.value(metric)) is None else metric.shown(value.value) for metric in metrics),
        )
        for one in configurations(results, name, verdict)
    ]
    columns = ("configuration", "parameters", "images", *(metric.title for metric in metrics))
    return Table(title, columns, tuple(rows), of_different_images(verdict) if verdict else "")


def of_different_images(verdict: Verdict) -> str:
    """Warns of comparing numbers on different images; empty where there are none."""
    if len(set(verdict.images.values())) < 2:
        return ""
    return "Between numbers on different images lies chance that the race leaves out: compare by the race."
