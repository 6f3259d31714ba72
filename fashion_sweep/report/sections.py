"""What the report says, in order: a list of sections that Markdown and HTML both render."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from fashion_sweep.report.answer import Answer
from fashion_sweep.report.conclusion import Conclusion, Interval
from fashion_sweep.report.points import Conclusions, Point, points
from fashion_sweep.report.provenance import provenance
from fashion_sweep.report.results import Results, TrialResult
from fashion_sweep.report.tables import GAP, Table, published_tables, time_table, trial_tables


@dataclass(frozen=True)
class Text:
    text: str
    style: Literal["", "strong", "small"] = ""


@dataclass(frozen=True)
class Bullets:
    items: tuple[tuple[str, str], ...]
    """A term, which may be empty, and what is said of it."""


@dataclass(frozen=True)
class Picture:
    path: Path
    """A PNG; an SVG of the same name beside it is the same picture."""
    description: str


@dataclass(frozen=True)
class Beside:
    """Tables that lie next to each other where there is room."""

    tables: tuple[Table, ...]


Block = Text | Bullets | Picture | Beside | Table


@dataclass(frozen=True)
class Section:
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Pictures:
    """Those that were made."""

    plots: Sequence[Path]
    grid: Path | None
    losses: Path | None


def sections(
    results: Results,
    answer: Answer,
    conclusions: Conclusions,
    pictures: Pictures,
    forgetting: Sequence[Table] = (),
    early: Table | None = None,
) -> list[Section]:
    """All that the report says below its title; a section without anything to say is left out.

    Args:
        answer: what the run allows one to conclude, in words.
        early: whether the losses by which trials were stopped foretold the final numbers, where any were.
        forgetting: what adapters lost on prompts that they were not trained on, where that was measured.
    """
    failed = [(trial.title, trial.error or _unended(trial)) for trial in results.trials if trial.state != "done"]
    found = [
        Section("Verdict", verdict(answer)),
        Section("Numbers", _numbers(results, conclusions)),
        Section("Quality against size", tuple(_plot(path, conclusions) for path in pictures.plots)),
        Section("Samples", _grid(pictures.grid)),
        Section("Losses", _losses(pictures.losses)),
        Section("Stopping early", (early,) if early else ()),
        Section("Forgetting", tuple(forgetting)),
        Section("What was run on what", (Bullets(provenance(results)),)),
        Section("The study's table beside ours", _published(results, conclusions)),
        Section("Where the time went", _times(results)),
        Section("Trials that did not finish", (Bullets(tuple(failed)),) if failed else ()),
    ]
    return [section for section in found if section.blocks]


def verdict(answer: Answer) -> tuple[Text, ...]:
    """The headline, and the careful paragraph smaller below it."""
    below = (Text(answer.paragraph, "small"),) if answer.paragraph else ()
    return (Text(answer.headline, "strong"), *below)


def estimate_table(results: Results, name: str, conclusion: Conclusion) -> Table:
    """One row a configuration, with the intervals that the verdict goes by."""
    rows = [
        (
            point.title + (" (chosen)" if point.title == conclusion.chosen else ""),
            GAP if point.parameters is None else f"{point.parameters:,}",
            with_interval(point.fid),
            with_interval(point.clip_score),
            _standing(point, conclusion),
        )
        for point in points(results, name, conclusion)
    ]
    judged = results.judgements(name)[0]
    caption = (
        f"FID∞ is FID less the bias of {conclusion.images:,} images, on {judged.features or GAP} features; CLIP score "
        f"by {judged.clip_model or GAP}; {conclusion.seeds} training{'s' if conclusion.seeds > 1 else ''} each. "
        "Pareto front: yes, if no other with as few parameters measures better in both; no, if one is shown to."
    )
    columns = ("configuration", "parameters", "FID∞ ↓ (95 %)", "CLIP ↑ (95 %)", "front")
    return Table(f"Configurations on {name}, with 95 % intervals", columns, tuple(rows), caption)


def _standing(point: Point, conclusion: Conclusion) -> str:
    if point.on_front:
        return "yes"
    return "perhaps" if point.title in conclusion.possible else "no"


def with_interval(value: Interval | None) -> str:
    """A value and what it may be, where that is known."""
    if value is None:
        return GAP
    width = value.high - value.low
    digits = 1 if width > 1 else 2
    return f"{value.value:.2f}" + (f" ({value.low:.{digits}f} to {value.high:.{digits}f})" if width else "")


def _numbers(results: Results, conclusions: Conclusions) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for name, table in zip(results.config.sweep.judge, trial_tables(results), strict=True):
        if name in conclusions:
            blocks.append(estimate_table(results, name, conclusions[name]))
        blocks.append(replace(table, title=f"Trials on {name}, as computed"))
    return tuple(blocks)


def _plot(path: Path, conclusions: Conclusions) -> Picture:
    kind, _, name = path.stem.partition("-")
    bars = ", with 95 % intervals and the Pareto front" if name in conclusions else ""
    what = {
        "parameters": "FID and CLIP score against the number of trained parameters",
        "quality": "CLIP score against FID",
    }
    return Picture(path, f"{what.get(kind, kind)} on {name}{bars}")


def _grid(grid: Path | None) -> tuple[Block, ...]:
    if grid is None:
        return ()
    return (
        Text("Each column starts from the same noise; each row is one trial."),
        Picture(grid, "Generated images, by trial and prompt"),
    )


def _losses(losses: Path | None) -> tuple[Block, ...]:
    return () if losses is None else (Picture(losses, "Validation and training loss by step"),)


def _published(results: Results, conclusions: Conclusions) -> tuple[Block, ...]:
    tables = results.config.sweep.published_and_judged
    if not tables:
        return ()
    warning = Text(
        "Two scales: the study judged Stable Diffusion XL with InceptionV3 features. Compare the order of the "
        "configurations within each table, never a number of one with a number of the other."
    )
    beside = [
        Beside((_ours(results, name, conclusions.get(name)), theirs))
        for name, theirs in zip(tables, published_tables(results), strict=True)
    ]
    orders = [Text(said) for name in tables if (said := _same_order(results, name, conclusions.get(name)))]
    return (warning, *beside, *orders)


def _same_order(results: Results, name: str, conclusion: Conclusion | None) -> str | None:
    """Whether FID puts the configurations that both tables have into the same order."""
    ours = {point.title: point.fid.value for point in points(results, name, conclusion) if point.fid}
    theirs = {row.configuration: row.fid for row in results.config.sweep.published[name] if row.configuration in ours}
    if len(theirs) < 2:
        return None
    mine, study = (sorted(theirs, key=values.__getitem__) for values in (ours, theirs))
    if mine == study:
        return f"By FID the order on {name} is the study's: {' < '.join(mine)}."
    return f"By FID the order on {name} is not the study's: ours {' < '.join(mine)}; the study's {' < '.join(study)}."


def _ours(results: Results, name: str, conclusion: Conclusion | None) -> Table:
    judged = next(iter(results.judgements(name)), None)
    features, samples = (judged.features, judged.samples) if judged else (None, None)
    bias = " less its bias" if conclusion else ""
    title = (
        f"Ours on {name}: preset {results.config.preset.name}, FID{bias} on {features or GAP} features, "
        f"{samples or GAP} images"
    )
    columns = ("configuration", "parameters", "FID", "CLIP score")
    return Table(title, columns, tuple(_short(point) for point in points(results, name, conclusion)))


def _short(point: Point) -> tuple[str, ...]:
    values = [GAP if value is None else f"{value.value:.2f}" for value in (point.fid, point.clip_score)]
    return (point.title, GAP if point.parameters is None else f"{point.parameters:,}", *values)


def _times(results: Results) -> tuple[Block, ...]:
    times = time_table(results)
    return () if times is None else (replace(times, title=""),)


def _unended(trial: TrialResult) -> str:
    if trial.state == "stopped":
        reached = GAP if trial.val_loss is None else f"{trial.val_loss:.4f}"
        return f"stopped early, at step {trial.steps} with a validation loss of {reached}"
    return "failed; no reason known" if trial.state == "failed" else "has not finished yet"
