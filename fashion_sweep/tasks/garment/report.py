"""Reports what a run over garments came to, for a shop to read: a table, a contact sheet each, the scores by seed."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console

from fashion_sweep.report.blocks import Bullets, Picture, Section, Text
from fashion_sweep.report.html import as_html
from fashion_sweep.report.markdown import as_markdown
from fashion_sweep.report.provenance import provenance
from fashion_sweep.report.results import Results, collect
from fashion_sweep.report.run_answer import Answer
from fashion_sweep.report.sections import verdict_texts
from fashion_sweep.report.summary import show_end
from fashion_sweep.report.tables import Table, duration, time_table
from fashion_sweep.report.words import GAP
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import as_csv, read_json, write_json, write_text
from fashion_sweep.tasks.garment.judgement import Judged, SeedEstimate, closest, judge_garments, overall
from fashion_sweep.tasks.garment.sheet import SCORE_COLUMNS, ranked, scores_of

MEANING = (
    "Identified: share of a garment's pictures to which no other garment's photo is closer; base model: the same of "
    "what it draws for the same prompts without an adapter. Gain: in closeness, from 0 to 100, of which half is colour "
    "(ΔE, the distance between the garments' pixels in CIELAB; less is closer), a quarter the pattern (Gabor filters), "
    "a quarter CLIP's likeness of both. Intervals hold 95 % over seeds, for these garments."
)
SHORT_MEANING = (
    "Identified: pictures to which no other garment's photo is closer; gain: in closeness to the own photo, 0 to 100. "
    "95 % intervals over seeds."
)


def write_garment_report(run: RunPaths, seconds: Mapping[str, float] | None = None) -> None:
    """Writes the report of a run over garments, as `report.page.write_report` does for sweeps."""
    results = collect(run)
    config, judged = results.config, judge_garments(run, results.config)
    verdict = answer(run, judged)
    write_json(
        run.results,
        {
            "run": results.run,
            "sweep": config.sweep.name,
            "preset": config.preset.name,
            "headline": verdict.headline,
            "answer": verdict.paragraph,
            "garments": [asdict(one) for one in judged],
            "seconds": dict(results.seconds if seconds is None else seconds),
        },
    )
    write_text(run.table, _csv(run, judged))
    results = collect(run)
    count = len(config.sweep.garments)
    title = f"{count} garment{'s' * (count > 1)}: {config.sweep.question}"
    subtitle = f"Run {results.run}, preset {config.preset.name}"
    sections = _sections(run, results, judged)
    write_text(run.report, as_markdown(title, sections, run.root))
    write_text(run.page, as_html(title, subtitle, sections))


def show_garments(run: RunPaths, console: Console) -> None:
    """Prints how a run over garments ended, as `report.summary.show_end` has it."""
    results = collect(run)
    judged = judge_garments(run, results.config)

    def tables(most: int) -> list[Table]:
        more = f" {len(judged) - most} more rows in the report." if len(judged) > most else ""
        return [replace(whether_it_works(judged[:most]), caption=SHORT_MEANING + more)] if judged else []

    best = max(judged, key=lambda one: one.own.value, default=None)
    draw = [f"garment generate {shlex.quote(best.garment)}"] if best else []
    show_end(run, results, answer(run, judged).headline, tables, [*draw, "ui"], console)


def answer(run: RunPaths, judged: Sequence[Judged]) -> Answer:
    """Returns whether the pictures are of their garments, in words."""
    shares = overall(run, judged)
    if not judged:
        return Answer("No garment has been drawn yet.", "")
    if shares is None:
        return Answer(_of_one(judged[0]), "One garment alone cannot be mistaken for another.")
    text = (
        f"Of the pictures {_share(shares.adapters)} come closer to their own garment's photo than to any other's; by "
        f"chance it would be {shares.chance:.0%}"
    )
    closest_to_own = f"{shares.adapters.value:.0%} of the pictures come closest to their own garment's photo"
    if shares.base is None or shares.more is None:
        return Answer(f"{closest_to_own} (by chance {shares.chance:.0%}).", f"{text}.")
    headline = f"{closest_to_own} (by chance {shares.chance:.0%}, without adapters {shares.base.value:.0%})"
    text += f", and of the base model's pictures it is {_share(shares.base)}. "
    if shares.more.low is not None and shares.more.high is not None:
        is_shown = shares.more.low > 0
        headline = f"The adapters work: {headline}" if is_shown else f"Not shown that the adapters help: {headline}"
        points = f"{100 * shares.more.value:+.0f} points ({100 * shares.more.low:.0f} to {100 * shares.more.high:.0f})"
        text += f"{'Adapters are shown to help' if is_shown else 'That adapters help is not shown'}: {points}. "
    off = [one.garment for one in judged if one.colour_identified == 0]
    in_colour = f" In colour alone no picture comes closest to its own photo of: {', '.join(off)}." if off else ""
    return Answer(f"{headline}.", text + _without_gain(judged) + in_colour)


def _of_one(judged: Judged) -> str:
    gain = judged.gain
    if gain is None:
        return f"{judged.garment} is drawn, with a closeness of {judged.own.value:.0f} of 100 to its photo."
    if gain.low is not None and gain.low <= 0:
        return f"{judged.garment} is not shown to be closer to its photo with its adapter: {_difference(gain)}."
    return f"{judged.garment} is closer to its photo with its adapter: {_difference(gain)} points of 100."


def _without_gain(judged: Sequence[Judged]) -> str:
    """Returns a sentence on the garments not shown to be closer to their photo than without an adapter."""
    lacking = [one for one in judged if one.gain and (one.gain.low is None or one.gain.low <= 0)]
    if not lacking:
        return "Each garment is shown to be closer to its photo with its adapter than without."
    names = ", ".join(f"{one.garment} ({one.gain.value:+.1f})" for one in lacking if one.gain)
    return f"Not shown to be closer to their photo with an adapter than without: {names}."


def whether_it_works(judged: Sequence[Judged]) -> Table:
    """Returns a table of how well each garment works, narrow enough for a terminal."""
    columns: tuple[str, ...] = ("garment", "identified", "base model", "gain over base")
    works: list[tuple[str, ...]] = [
        (one.garment, _share(one.identified), _share(one.base_identified), _difference(one.gain)) for one in judged
    ]
    if not any(one.others for one in judged):  # there is nothing to be mistaken for
        columns, works = (columns[0], columns[3]), [(row[0], row[3]) for row in works]
    return Table("Are the pictures of this garment?", columns, tuple(works), MEANING)


def garment_tables(results: Results, judged: Sequence[Judged]) -> list[Table]:
    """Returns two tables: whether each garment works, and what its adapter is."""
    by_name = {trial.spec.item: trial for trial in results.trials}
    measured = []
    for one in judged:
        trial = by_name[one.garment]
        size = GAP if trial.adapter_bytes is None else f"{trial.adapter_bytes / 1e6:.2f} MB"
        parameters = GAP if trial.parameters is None else f"{trial.parameters:,}"
        took = duration(sum(trial.seconds.values())) if trial.seconds else GAP
        measured.append((one.garment, f"{one.own.value:.1f}", f"{one.colour:.0f}", parameters, size, took))
    return [
        whether_it_works(judged),
        Table("Adapters", ("garment", "closeness", "ΔE", "parameters", "adapter", "time"), tuple(measured)),
    ]


def _share(one: SeedEstimate | None) -> str:
    if one is None or one.low is None:
        return GAP
    return f"{one.value:.0%} ({100 * one.low:.0f}–{one.high:.0%})"


def _difference(one: SeedEstimate | None) -> str:
    if one is None:
        return GAP
    return f"{one.value:+.1f} ({'one seed' if one.low is None else f'{one.low:.1f} to {one.high:.1f}'})"


def _sections(run: RunPaths, results: Results, judged: list[Judged]) -> list[Section]:
    failed = [(trial.title, trial.error or "has not finished yet") for trial in results.trials if trial.state != "done"]
    sheets: list[Text | Picture] = []
    for one in judged:
        sheets += [Text(one.garment, "strong")]
        sheets += [Picture(run.trial(one.garment).sheet, f"{one.garment}: the photo, and the closest of each prompt")]
    times = time_table(results)
    sections = [
        Section("Verdict", verdict_texts(answer(run, judged))),
        Section("Garments", tuple(garment_tables(results, judged)) if judged else ()),
        Section("Contact sheets", tuple(sheets)),
        Section("What was run on what", (Bullets(provenance(results, on_sets=False)),)),
        Section("Where the time went", (times,) if times else ()),
        Section("Garments that did not finish", (Bullets(tuple(failed)),) if failed else ()),
    ]
    return [section for section in sections if section.blocks]


def _csv(run: RunPaths, judged: list[Judged]) -> str:
    """Returns the scores as CSV with one line a picture, the closest first."""
    rows: list[tuple[Any, ...]] = [("garment", "prompt", "seed", *SCORE_COLUMNS, "closest_photo", "file")]
    for one in judged:
        for picture in ranked(read_json(run.trial(one.garment).closeness)["pictures"], one.garment):
            numbers, nearest = scores_of(picture, one.garment), closest(picture["closeness"], one.garment)
            rows.append((one.garment, picture["prompt"], picture["seed"], *numbers, nearest, picture["file"]))
    return as_csv(rows)
