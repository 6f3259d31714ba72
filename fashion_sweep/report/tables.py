"""Tables of a run, each made once and shown in the terminal or as Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import rich.box
import rich.table
from rich.text import Text

from fashion_sweep.config.sweep import Sweep
from fashion_sweep.errors import shown
from fashion_sweep.planning.plan import PlannedTrial
from fashion_sweep.report.forgotten import forgotten
from fashion_sweep.report.results import Judgement, Results, TrialResult

GAP = "–"


@dataclass(frozen=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Text first, then right-aligned numbers; a gap is `–`."""
    caption: str = ""
    text_columns: int = 1


def trial_tables(results: Results) -> list[Table]:
    """One table an evaluation set, since FIDs against different references do not belong into one column."""
    return [_trial_table(results, name) for name in results.config.sweep.judge]


def forgetting_tables(results: Results) -> list[Table]:
    """What the adapters did to the loss on sets that nothing was trained on."""
    found = []
    for name in results.config.sweep.judge:
        if told := forgotten(results, name):
            rows = [
                (
                    f.title,
                    f"{f.base_loss:.5f}",
                    f"{f.base_loss + f.increase:.5f}",
                    f"{f.increase:+.5f} ± {1.96 * f.se:.5f}",
                )
                for f in told
            ]
            caption = (
                f"On {told[0].samples or GAP} real images that nothing was trained on, with the same noise and "
                "timesteps for all. Above 0, the adapter has forgotten; below, it helps there too."
            )
            columns = ("configuration", "base model", "with adapter", "change (95 %)")
            found.append(Table(f"Forgetting: the denoising loss on {name}", columns, tuple(rows), caption))
    return found


def published_tables(results: Results) -> list[Table]:
    """The study's own rows, apart from ours: another model, another extractor. The caption says what they allow."""
    from fashion_sweep.report.conclusion import margins_of  # imports SciPy, which takes most of a second
    from fashion_sweep.report.wording import published_sentence

    sweep = results.config.sweep
    return [
        Table(
            title=f"Published for SDXL on {name}: another model, Inception features; not comparable with ours",
            columns=("configuration", "parameters", "FID", "CLIP score"),
            rows=tuple(
                (row.configuration, _count(row.parameters), f"{row.fid:.2f}", f"{row.clip_score:.2f}") for row in rows
            ),
            caption=published_sentence(rows, margins_of(sweep.choose, min(row.fid for row in rows))),
        )
        for name, rows in sweep.published_and_judged.items()
    ]


def time_table(results: Results) -> Table | None:
    """Where the run's time went; the trials' own stages where the run has not said."""
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


def plan_table(planned: Sequence[PlannedTrial], sweep: Sweep) -> Table:
    rows = [(t.title, f"{t.parameters:,}", f"{t.adapter_bytes / 1e6:.2f}", f"{100 * t.share:.3f}") for t in planned]
    caption = "Adapters in float32; the share is that of the base model's UNet and text encoders."
    if sweep.search and sweep.space:
        caption += f" The search begins {sweep.search.trials} trials, chosen from these"
        caption += "".join(f", {name} {axis.low:g} to {axis.high:g}" for name, axis in sweep.space.ranges.items()) + "."
    return Table("", ("configuration", "parameters", "adapter, MB", "share, %"), tuple(rows), caption)


def terminal(table: Table) -> rich.table.Table:
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
        made.add_column(column, justify="right", no_wrap=True)
    for row in table.rows:
        made.add_row(*(Text(shown(cell)) for cell in row))
    return made


def markdown(table: Table) -> str:
    """The table with its caption below; the title is the caller's heading."""
    lines = [
        _line(table.columns),
        _line(["---", *["---:"] * (len(table.columns) - 1)]),
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


def _trial_table(results: Results, name: str) -> Table:
    return Table(
        title=f"{results.config.sweep.name} on preset {results.config.preset.name}, judged on {name}",
        columns=(
            "configuration",
            "parameters",
            "FID ↓",
            "KID ×1000 ↓",
            "CLIP score ↑",
            "train",
            "judge",
        ),
        rows=tuple(_row(trial, trial.judged(name)) for trial in results.trials),
        caption=_caption(results, name),
    )


def _row(trial: TrialResult, judged: Judgement) -> tuple[str, ...]:
    return (
        f"{trial.title}{_how_it_ended(trial)}",
        _count(trial.parameters),
        GAP if judged.fid is None else f"{judged.fid:.2f}",
        _estimate(judged.kid, judged.kid_se, scale=1000, digits=1),
        _estimate(judged.clip_score, judged.clip_score_se),
        GAP if trial.spec.is_base_model or trial.adapter_from else duration(trial.seconds.get("train")),
        duration(trial.seconds.get("judge")),
    )


def _how_it_ended(trial: TrialResult) -> str:
    if trial.state == "stopped":
        loss = "" if trial.val_loss is None else f" with val_loss {trial.val_loss:.4f}"
        return f" (stopped at step {trial.steps}{loss})"
    return "" if trial.state == "done" else f" ({trial.state})"


def _caption(results: Results, name: str) -> str:
    """What the numbers rest on; FID is never shown without it."""
    judged = results.judgements(name)
    if not judged:
        return "No trial has been judged."
    counts = _listed(f"{judgement.samples:,}" for judgement in judged if judgement.samples is not None)
    references = _listed(
        f"{judgement.reference_samples:,}" for judgement in judged if judgement.reference_samples is not None
    )
    dimensions = _listed(str(judgement.feature_dim) for judgement in judged if judgement.feature_dim is not None)
    text = (
        f"{counts} generated images a trial against {references} real ones; FID and KID on "
        f"{judged[0].features or GAP} features ({dimensions} dimensions), "
        f"CLIP score by {judged[0].clip_model or GAP}; ± is one standard error."
    )
    if any((judgement.kid or 0) < 0 for judgement in judged):
        text += " KID is unbiased, so it may fall below 0."
    if any(judgement.too_few_samples for judgement in judged):
        text += " Fewer than 2.5 images a feature dimension: FID is mostly bias here; look at KID."
    for trial in results.trials:
        if trial.adapter_from:
            text += f" {trial.title} was trained in the run {trial.adapter_from}."
    if len({judgement.samples for judgement in judged}) > 1:
        text += " The image counts differ, so the FIDs are not comparable."
    return text


def _listed(values: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(values)) or "an unknown number of"


def _estimate(value: float | None, standard_error: float | None, scale: float = 1, digits: int = 2) -> str:
    if value is None:
        return GAP
    text = f"{value * scale:.{digits}f}"
    return text if standard_error is None else f"{text} ± {standard_error * scale:.{digits}f}"


def _count(value: int | None) -> str:
    return GAP if value is None else f"{value:,}"


def _share(value: float, total: float | None) -> str:
    return f"{value / total:.0%}" if total else GAP


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
