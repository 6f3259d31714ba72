"""Tables of a run, each made once and shown in the terminal or as Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import rich.box
import rich.table
from rich.text import Text

from fashion_sweep.config.sweep import Sweep
from fashion_sweep.errors import shown
from fashion_sweep.metrics.extractors import FEATURES
from fashion_sweep.metrics.metric import Metric, metrics_of
from fashion_sweep.planning.plan import PlannedTrial
from fashion_sweep.report.forgotten import forgotten
from fashion_sweep.report.results import Evaluation, Results, TrialResult
from fashion_sweep.report.words import GAP, joined, listed


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """The rows, text first, then right-aligned numbers; a gap is `–`."""
    caption: str = ""
    text_columns: int = 1


def trial_tables(results: Results) -> list[Table]:
    """Makes one table an evaluation set, since FIDs against different references do not belong into one column."""
    return [_trial_table(results, name) for name in results.config.sweep.judge]


def forgetting_tables(results: Results) -> list[Table]:
    """Makes tables of what the adapters did to the loss on sets that nothing was trained on."""
    tables = []
    for name in results.config.sweep.judge:
        if changes := forgotten(results, name):
            rows = [
                (
                    f.title,
                    f"{f.base_loss:.5f}",
                    f"{f.base_loss + f.increase:.5f}",
                    f"{f.increase:+.5f} ± {1.96 * f.se:.5f}",
                )
                for f in changes
            ]
            caption = (
                f"On {changes[0].samples or GAP} real images that nothing was trained on, with the same noise and "
                "timesteps for all. Above 0, the adapter has forgotten; below, it helps there too."
            )
            columns = ("configuration", "base model", "with adapter", "change (95 %)")
            tables.append(Table(f"Forgetting: the denoising loss on {name}", columns, tuple(rows), caption))
    return tables


def published_tables(results: Results) -> list[Table]:
    """Makes tables of the study's own rows, apart from ours: another model, another extractor.
    The caption says what they allow."""
    from fashion_sweep.judging.race import margins_of  # imports SciPy, which takes most of a second
    from fashion_sweep.report.published import best_row, published_sentence

    tables = []
    for name, rows in results.config.sweep.published_and_judged.items():
        shown = metrics_of(metric for row in rows for metric in row.metrics)
        metrics = [one for one in results.deciding(name) if all(one.name in row.metrics for row in rows)]
        best = {metric.name: best_row(rows, metric).metrics[metric.name] for metric in metrics}
        margins = margins_of(results.config.sweep.choose, metrics, best)
        values = [[GAP if (v := row.metrics.get(one.name)) is None else one.shown(v) for one in shown] for row in rows]
        tables.append(
            Table(
                title=f"Published for SDXL on {name}: another model, Inception features; not comparable with ours",
                columns=("configuration", "parameters", *(metric.title for metric in shown)),
                rows=tuple(
                    (row.configuration, count(row.parameters), *cells) for row, cells in zip(rows, values, strict=True)
                ),
                caption=published_sentence(rows, metrics, margins),
            )
        )
    return tables


def time_table(results: Results) -> Table | None:
    """Makes the table of where the run's time went; of the trials' own stages where the run has not said."""
    seconds = dict(results.seconds)
    caption = "By the clock; a moment in which several trials worked is shared among them."
    if not seconds:
        for trial in results.trials:
            for stage, value in trial.seconds.items():
                seconds[stage] = seconds.get(stage, 0.0) + value
        caption = "Summed over the trials, which may have run side by side."
    if not seconds:
        return None
    total = seconds.pop("total", None)
    rows = [(stage, duration(value), _share(value, total)) for stage, value in seconds.items()]
    if total is not None:
        rows.append(("total", duration(total), _share(total, total)))
    return Table("Where the time went", ("stage", "time", "share"), tuple(rows), caption)


MANY = 12
"""More rows of a table are counted for its reader."""


def plan_table(planned: Sequence[PlannedTrial], sweep: Sweep, wanted: int | None = None) -> Table:
    """Makes the table of a plan; `wanted`: the size that its trials come as near to as they can."""
    rows = [
        (t.title, f"{t.parameters:,}", f"{t.adapter_bytes / 1e6:.2f}", f"{100 * t.share:.3f}")
        for t in planned
        if not t.replicate
    ]
    caption = f"{len(rows)} configurations, {sweep.seeds} trainings each. " if sweep.seeds > 1 else ""
    caption += f"{len(rows)} trials. " if sweep.seeds == 1 and len(rows) > MANY else ""
    caption += "Adapters in float32; the share is that of the parts of the base model that can be adapted."
    if sweep.search and sweep.space:
        caption += f" The search begins {sweep.search.trials} trials, chosen from these"
        caption += "".join(f", {name} {axis.low:g} to {axis.high:g}" for name, axis in sweep.space.ranges.items()) + "."
    if wanted:
        apart = [t.parameters / wanted - 1 for t in planned]
        caption += f" Of each kind the size nearest to {wanted:,}: {min(apart):+.0%} to {max(apart):+.0%}."
    return Table("", ("configuration", "parameters", "adapter, MB", "share, %"), tuple(rows), caption)


def terminal(table: Table, numbers_whole: bool = True) -> rich.table.Table:
    """Makes a table for a terminal; where it is too narrow for numbers on one line, they are cut, or else broken."""
    made = rich.table.Table(
        title=Text(shown(table.title), style="italic") if table.title else None,
        caption=Text(shown(table.caption), style="dim italic") if table.caption else None,
        box=rich.box.SIMPLE_HEAD,
        title_justify="left",
        caption_justify="left",
        collapse_padding=True,
        pad_edge=False,
    )
    for column in table.columns[: table.text_columns]:
        made.add_column(column, min_width=len(column), overflow="fold")
    for column in table.columns[table.text_columns :]:
        made.add_column(column, justify="right", no_wrap=numbers_whole)
    for row in table.rows:
        made.add_row(*(Text(shown(cell)) for cell in row))
    return made


def markdown(table: Table) -> str:
    """Writes the table as Markdown with its caption below; the title is the caller's heading."""
    lines = [
        _line(table.columns),
        _line([*["---"] * table.text_columns, *["---:"] * (len(table.columns) - table.text_columns)]),
        *map(_line, table.rows),
    ]
    text = "\n".join(lines) + "\n"
    return f"{text}\n{table.caption}\n" if table.caption else text


def duration(seconds: float | None) -> str:
    if seconds is None:
        return GAP
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {rest:02d}s"


def sources(metrics: Sequence[Metric], judged: Evaluation, with_dimension: bool = False) -> str:
    """Says what metrics are measured by, in words: those measured by the same are named together."""
    groups: dict[str, list[str]] = {}
    for metric in metrics:
        dimension = f" ({judged.feature_dim or GAP} dimensions)" if FEATURES in metric.extractors else ""
        groups.setdefault(judged.source(metric) + dimension * with_dimension, []).append(metric.title)
    return ", ".join(f"{joined(titles)} {source}" for source, titles in groups.items())


def _trial_table(results: Results, name: str) -> Table:
    metrics = results.measured(name)
    return Table(
        title=f"{results.config.sweep.name} on preset {results.config.preset.name}, judged on {name}",
        columns=("configuration", "parameters", "images", *(metric.heading() for metric in metrics), "train", "judge"),
        rows=tuple(_row(trial, trial.on(name), metrics) for trial in results.trials),
        caption=_caption(results, name),
    )


def _row(trial: TrialResult, judged: Evaluation, metrics: Sequence[Metric]) -> tuple[str, ...]:
    return (
        f"{trial.title}{_how_it_ended(trial)}",
        count(trial.parameters),
        count(judged.samples),
        *(_with_error(metric, judged) for metric in metrics),
        GAP if trial.spec.is_base_model or trial.adapter_from else duration(trial.seconds.get("train")),
        duration(trial.seconds.get("judge")),
    )


def _how_it_ended(trial: TrialResult) -> str:
    if trial.state == "stopped":
        loss = "" if trial.val_loss is None else f" with val_loss {trial.val_loss:.4f}"
        return f" (stopped at step {trial.steps}{loss})"
    return "" if trial.state == "done" else f" ({trial.state})"


def _caption(results: Results, name: str) -> str:
    """Says what the numbers rest on; none is ever shown without it."""
    judged, metrics = results.evaluations_on(name), results.measured(name)
    if not judged:
        return "No trial has been judged."
    counts = _either(f"{one.samples:,}" for one in judged if one.samples is not None)
    references = _either(f"{one.reference_samples:,}" for one in judged if one.reference_samples is not None)
    text = (
        f"{counts} generated images a trial against {references} real ones; "
        f"{sources(metrics, judged[0], with_dimension=True)}; ± is one standard error."
    )
    for metric in metrics:
        values = [value for one in judged if (value := one.value(metric)) is not None]
        if not metric.is_biased and any(value < 0 for value in values):
            text += f" {metric.title} is unbiased, so it may fall below 0."
        fewest = min((one.samples for one in judged if one.samples), default=None)
        if fewest and values and (shortage := metric.shortage(fewest, results.config.preset.evaluation)):
            text += f" {fewest} images are {shortage}."
    for source in dict.fromkeys(trial.adapter_from for trial in results.trials if trial.adapter_from):
        titles = [trial.title for trial in results.trials if trial.adapter_from == source]
        text += f" {listed(titles)} {'was' if len(titles) == 1 else 'were'} trained in the run {source}."
    if len({one.samples for one in judged}) > 1:
        text += " Their numbers of images differ, and with them the bias: compare what is less its bias."
    return text


def _either(values: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(values)) or "an unknown number of"


def _with_error(metric: Metric, judged: Evaluation) -> str:
    measured = judged.metrics.get(metric.name)
    if measured is None:
        return GAP
    text = metric.shown(metric.scale * measured.value)
    return (
        text if measured.standard_error is None else f"{text} ± {metric.shown(metric.scale * measured.standard_error)}"
    )


def count(value: int | None) -> str:
    return GAP if value is None else f"{value:,}"


def _share(value: float, total: float | None) -> str:
    return f"{value / total:.0%}" if total else GAP


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
