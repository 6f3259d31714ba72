"""What a run over garments came to, for a shop to read: a table, a contact sheet each, the scores by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from fashion_sweep.files import as_csv, read_json, write_json, write_text
from fashion_sweep.garment.judgement import Estimate, Judged, closest, judge_garments, overall
from fashion_sweep.garment.sheet import SCORE_COLUMNS, ranked, scores_of
from fashion_sweep.paths import RunPaths
from fashion_sweep.report.html import as_html
from fashion_sweep.report.markdown import as_markdown
from fashion_sweep.report.provenance import provenance
from fashion_sweep.report.results import Results, collect
from fashion_sweep.report.sections import Bullets, Picture, Section, Text
from fashion_sweep.report.tables import GAP, Table, duration, terminal, time_table

MEANING = (
    "Identified: share of a garment's pictures to which no other garment's photo is closer; base model: the same of "
    "what it draws for the same prompts without an adapter. Gain: in closeness, from 0 to 100, of which half is colour "
    "(ΔE, the distance between the garments' pixels in CIELAB; less is closer), a quarter the pattern (Gabor filters), "
    "a quarter CLIP's likeness of both. Intervals hold 95 % over seeds, for these garments."
)


def write_garment_report(run: RunPaths, seconds: Mapping[str, float] | None = None) -> None:
    """As `report.page.write_report`, of a run over garments."""
    results = collect(run)
    config, judged = results.config, judge_garments(run, results.config)
    write_json(
        run.results,
        {
            "run": results.run,
            "sweep": config.sweep.name,
            "preset": config.preset.name,
            "answer": answer(run, judged),
            "garments": [asdict(one) for one in judged],
            "seconds": dict(results.seconds if seconds is None else seconds),
        },
    )
    write_text(run.table, _csv(run, judged))
    results = collect(run)
    count = len(config.sweep.garments)
    title = f"{count} garment{'s' * (count > 1)}: {config.sweep.question}"
    subtitle = f"Run {results.run}, preset {config.preset.name}"
    said = _sections(run, results, judged)
    write_text(run.report, as_markdown(title, said, run.root))
    write_text(run.page, as_html(title, subtitle, said))


def show_garments(run: RunPaths, console: Console) -> None:
    results = collect(run)
    judged = judge_garments(run, results.config)
    for table in garment_tables(results, judged) if judged else ():
        console.print(terminal(table))
    for trial in results.trials:
        if trial.state == "failed":
            console.print(f"{trial.title} failed: {trial.error}", soft_wrap=True, markup=False)
    console.print(answer(run, judged), markup=False)
    console.print(f"report, with a contact sheet of each: {run.page}", soft_wrap=True)
    if judged:
        console.print(f"more pictures: python -m fashion_sweep garment generate {judged[0].garment}", soft_wrap=True)


def answer(run: RunPaths, judged: Sequence[Judged]) -> str:
    """In words."""
    found = overall(run, judged)
    if not judged:
        return "No garment has been drawn yet."
    if found is None:
        gain, alone = judged[0].gain, "One garment alone cannot be mistaken for another"
        return f"{alone}; in closeness it has gained {_difference(gain)} over the base model." if gain else f"{alone}."
    text = (
        f"Of the pictures {_share(found.adapters)} come closer to their own garment's photo than to any other's; by "
        f"chance it would be {found.chance:.0%}"
    )
    if found.base is None or found.more is None:
        return f"{text}."
    text += f", and of the base model's pictures it is {_share(found.base)}. "
    if found.more.low is not None and found.more.high is not None:
        shown = "Adapters are shown to help" if found.more.low > 0 else "That adapters help is not shown"
        points = f"{100 * found.more.value:+.0f} points ({100 * found.more.low:.0f} to {100 * found.more.high:.0f})"
        text += f"{shown}: {points}. "
    off = [one.garment for one in judged if one.colour_identified == 0]
    return (
        text
        + _without_gain(judged)
        + (f" In colour alone no picture comes closest to its own photo of: {', '.join(off)}." if off else "")
    )


def _without_gain(judged: Sequence[Judged]) -> str:
    """Which garments are not shown to be closer to their photo than without an adapter."""
    lacking = [one for one in judged if one.gain and (one.gain.low is None or one.gain.low <= 0)]
    if not lacking:
        return "Each garment is shown to be closer to its photo with its adapter than without."
    names = ", ".join(f"{one.garment} ({one.gain.value:+.1f})" for one in lacking if one.gain)
    return f"Not shown to be closer to their photo with an adapter than without: {names}."


def garment_tables(results: Results, judged: list[Judged]) -> list[Table]:
    """Whether it works, and what it is: each narrow enough for a terminal."""
    by_name = {trial.spec.garment: trial for trial in results.trials}
    columns: tuple[str, ...] = ("garment", "identified", "base model", "gain over base")
    works: list[tuple[str, ...]] = [
        (one.garment, _share(one.identified), _share(one.base_identified), _difference(one.gain)) for one in judged
    ]
    if not any(one.others for one in judged):  # there is nothing to be mistaken for
        columns, works = (columns[0], columns[3]), [(row[0], row[3]) for row in works]
    measured = []
    for one in judged:
        trial = by_name[one.garment]
        size = GAP if trial.adapter_bytes is None else f"{trial.adapter_bytes / 1e6:.2f} MB"
        parameters = GAP if trial.parameters is None else f"{trial.parameters:,}"
        took = duration(sum(trial.seconds.values())) if trial.seconds else GAP
        measured.append((one.garment, f"{one.own.value:.1f}", f"{one.colour:.0f}", parameters, size, took))
    return [
        Table("Are the pictures of this garment?", columns, tuple(works), MEANING),
        Table("Adapters", ("garment", "closeness", "ΔE", "parameters", "adapter", "time"), tuple(measured)),
    ]


def _share(one: Estimate | None) -> str:
    if one is None or one.low is None:
        return GAP
    return f"{one.value:.0%} ({100 * one.low:.0f}–{one.high:.0%})"


def _difference(one: Estimate | None) -> str:
    if one is None:
        return GAP
    return f"{one.value:+.1f} ({'one seed' if one.low is None else f'{one.low:.1f} to {one.high:.1f}'})"


def _sections(run: RunPaths, results: Results, judged: list[Judged]) -> list[Section]:
    failed = [(trial.title, trial.error or "has not finished yet") for trial in results.trials if trial.state != "done"]
    sheets: list[Text | Picture] = []
    for one in judged:
        sheets += [Text(one.garment, strong=True)]
        sheets += [Picture(run.trial(one.garment).sheet, f"{one.garment}: the photo, and the closest of each prompt")]
    times = time_table(results)
    found = [
        Section("Verdict", (Text(answer(run, judged), strong=True),)),
        Section("Garments", tuple(garment_tables(results, judged)) if judged else ()),
        Section("Contact sheets", tuple(sheets)),
        Section("What was run on what", (Bullets(provenance(results)),)),
        Section("Where the time went", (times,) if times else ()),
        Section("Garments that did not finish", (Bullets(tuple(failed)),) if failed else ()),
    ]
    return [section for section in found if section.blocks]


def _csv(run: RunPaths, judged: list[Judged]) -> str:
    """One line a picture, the closest first."""
    rows: list[tuple[Any, ...]] = [("garment", "prompt", "seed", *SCORE_COLUMNS, "closest_photo", "file")]
    for one in judged:
        for picture in ranked(read_json(run.trial(one.garment).closeness)["pictures"], one.garment):
            numbers, nearest = scores_of(picture, one.garment), closest(picture["closeness"], one.garment)
            rows.append((one.garment, picture["prompt"], picture["seed"], *numbers, nearest, picture["file"]))
    return as_csv(rows)
