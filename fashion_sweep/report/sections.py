"""The contents of the report, in order: a list of sections that Markdown and HTML both render."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fashion_sweep.metrics.metric import Metric
from fashion_sweep.report.blocks import Block, Bullets, Picture, Section, Text
from fashion_sweep.report.configurations import Configuration, below_zero, configurations
from fashion_sweep.report.provenance import provenance
from fashion_sweep.report.race_table import race_table
from fashion_sweep.report.results import Results, TrialResult
from fashion_sweep.report.run_answer import Answer
from fashion_sweep.report.study import of_different_images, study_beside_ours
from fashion_sweep.report.tables import Table, count, time_table, trial_tables
from fashion_sweep.report.verdict import Interval, Verdict, Verdicts
from fashion_sweep.report.words import GAP, in_all


@dataclass(frozen=True)
class Pictures:
    """The pictures that were made of a run."""

    plots: Sequence[Picture]
    grid: Path | None
    losses: Path | None
    races: Sequence[Picture] = ()
    axes: Sequence[Picture] = ()


def sections(
    results: Results,
    answer: Answer,
    verdicts: Verdicts,
    pictures: Pictures,
    forgetting: Sequence[Table] = (),
    early: Table | None = None,
) -> list[Section]:
    """Returns all that the report says below its title; a section without anything to say is left out.

    Args:
        answer: what the run allows one to conclude, in words.
        early: whether the losses by which trials were stopped foretold the final numbers, where any were.
        forgetting: what adapters lost on prompts that they were not trained on, where that was measured.
    """
    failed = [(trial.title, trial.error or _unended(trial)) for trial in results.trials if trial.state != "done"]
    all_sections = [
        Section("Verdict", verdict_texts(answer)),
        Section("What others have found", _claims(results)),
        Section("Race", (*_race_tables(results, verdicts), *pictures.races)),
        Section("Numbers", _numbers(results, verdicts)),
        Section("Quality against size", tuple(pictures.plots)),
        Section("Axes", _axes(pictures.axes)),
        Section("Samples", _grid(pictures.grid)),
        Section("Losses", _losses(pictures.losses)),
        Section("Stopping early", (early,) if early else ()),
        Section("Forgetting", tuple(forgetting)),
        Section("What was run on what", (Bullets(provenance(results)),)),
        Section("The study's table beside ours", study_beside_ours(results, verdicts)),
        Section("Where the time went", _times(results)),
        Section("Trials that did not finish", (Bullets(tuple(failed)),) if failed else ()),
    ]
    return [section for section in all_sections if section.blocks]


def _claims(results: Results) -> tuple[Block, ...]:
    claims = results.config.sweep.claims
    return (Bullets(tuple((one.source, one.says) for one in claims)),) if claims else ()


def _race_tables(results: Results, verdicts: Verdicts) -> list[Table]:
    judged = {name: sum(one.samples or 0 for one in results.evaluations_on(name)) for name in verdicts}
    return [race_table(one, judged[name]) for name, one in verdicts.items() if one.is_race]


def verdict_texts(answer: Answer) -> tuple[Text, ...]:
    """Returns the headline, and the careful paragraph smaller below it."""
    below = (Text(answer.paragraph, "small"),) if answer.paragraph else ()
    return (Text(answer.headline, "strong"), *below)


def estimate_table(results: Results, name: str, verdict: Verdict) -> Table:
    """Makes a table of one row a configuration, with the intervals that the verdict goes by."""
    metrics, judged = results.deciding(name), results.evaluations_on(name)[0]
    shown = configurations(results, name, verdict)
    rows = [
        (
            one.title + (" (chosen)" if verdict.standings[one.title].state == "chosen" else ""),
            count(one.parameters),
            count(one.images),
            *(with_interval(metric, one.value(metric)) for metric in metrics),
            _on_front(one, verdict),
        )
        for one in shown
    ]
    parts = [
        f"{one.title}∞ is {one.title} less the bias of so many images, {judged.source(one)}"
        if one.is_biased
        else f"{one.title} {judged.source(one)}"
        for one in metrics
    ]
    caption = (
        f"{'; '.join(parts)}; {verdict.seeds} training{'s' if verdict.seeds > 1 else ''} each. Pareto front: yes, "
        f"if no other with as few parameters measures better{in_all(len(metrics))}; no, if one is shown to. "
        f"{of_different_images(verdict)}"
    ).rstrip()
    for one in below_zero(shown, metrics):
        caption += (
            f" {one.title}∞ may fall below 0: the bias is that of captions drawn anew, and these are the real images'"
            " own. Compare rows."
        )
    headings = [f"{metric.heading(less_bias=True, narrow=True)} (95 %)" for metric in metrics]
    columns = ("configuration", "parameters", "images", *headings, "front")
    return Table(f"Configurations on {name}, with 95 % intervals", columns, tuple(rows), caption)


def _on_front(one: Configuration, verdict: Verdict) -> str:
    if one.on_front:
        return "yes"
    return "perhaps" if one.title in verdict.possible else "no"


def with_interval(metric: Metric, value: Interval | None) -> str:
    """Writes a value and what it may be, where that is known."""
    if value is None:
        return GAP
    width = value.high - value.low
    digits = metric.digits - 1 if width > 1 else metric.digits
    interval = f" ({value.low:.{digits}f} to {value.high:.{digits}f})" if width else ""
    return metric.shown(value.value) + interval


def _numbers(results: Results, verdicts: Verdicts) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for name, table in zip(results.config.sweep.judge, trial_tables(results), strict=True):
        if name in verdicts:
            blocks.append(estimate_table(results, name, verdicts[name]))
        blocks.append(replace(table, title=f"Trials on {name}, as computed"))
    return tuple(blocks)


def _grid(grid: Path | None) -> tuple[Block, ...]:
    if grid is None:
        return ()
    return (
        Text("Each column starts from the same noise; each row is one trial."),
        Picture(grid, "Generated images, by trial and prompt"),
    )


def _axes(axes: Sequence[Picture]) -> tuple[Block, ...]:
    if not axes:
        return ()
    return (
        Text(
            "The share of the variance between configurations that goes with an axis by itself (epsilon squared), with "
            "the interval of measuring. Near 0 an axis does nothing, or opposite things beside others."
        ),
        *axes,
    )


def _losses(losses: Path | None) -> tuple[Block, ...]:
    return () if losses is None else (Picture(losses, "Validation and training loss by step"),)


def _times(results: Results) -> tuple[Block, ...]:
    times = time_table(results)
    return () if times is None else (replace(times, title=""),)


def _unended(trial: TrialResult) -> str:
    if trial.state == "stopped":
        reached = GAP if trial.val_loss is None else f"{trial.val_loss:.4f}"
        return f"stopped early, at step {trial.steps} with a validation loss of {reached}"
    return "failed; no reason known" if trial.state == "failed" else "has not finished yet"
