"""Writes a run's report from the run folder alone: results as JSON and CSV, plots, the sample grid, the page."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fashion_sweep.report.early_stopping import rung_table, rungs
from fashion_sweep.report.html import as_html
from fashion_sweep.report.markdown import as_markdown
from fashion_sweep.report.results import Results, TrialResult, collect, numbers
from fashion_sweep.report.run_answer import answer_of
from fashion_sweep.report.sections import Pictures, sections
from fashion_sweep.report.spreadsheet import results_csv
from fashion_sweep.report.tables import forgetting_tables
from fashion_sweep.report.verdict import Verdicts, as_json, verdicts_of
from fashion_sweep.report.words import GAP
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import write_json, write_text


def write_report(run: RunPaths, seconds: Mapping[str, float] | None = None) -> None:
    """Writes, or writes again, everything that people read of a run.

    Args:
        run: a run folder; trials that have not finished or have failed show as gaps.
        seconds: where the time went by stage, `total` among them; None keeps what `results.json` says.

    Raises:
        DataError, RunError: the run folder is not what it should be.
    """
    from fashion_sweep.report.axis_plots import write_axes
    from fashion_sweep.report.plots import write_plots  # matplotlib takes half a second to import
    from fashion_sweep.report.race_plot import write_races

    results, verdicts = write_results(run, seconds)
    plots, losses = write_plots(run, results, verdicts)
    blocks = sections(
        results,
        answer_of(results, verdicts),
        verdicts,
        Pictures(
            plots,
            _write_sample_grid(run, results),
            losses,
            write_races(run, verdicts),
            write_axes(run, results, verdicts),
        ),
        forgetting=forgetting_tables(results),
        early=rung_table(run, results),
    )
    sweep = results.config.sweep
    title = f"{sweep.name}: {sweep.question}"
    started = str(results.facts.get("started") or GAP)
    subtitle = f"Run {results.run}, preset {results.config.preset.name}, started {started[:16].replace('T', ' ')}"
    write_text(run.report, as_markdown(title, blocks, run.root))
    write_text(run.page, as_html(title, subtitle, blocks))


def write_results(run: RunPaths, seconds: Mapping[str, float] | None = None) -> tuple[Results, Verdicts]:
    """Writes the numbers and the answer of a run as JSON and CSV, and returns them; else as `write_report`."""
    results = collect(run)
    verdicts = verdicts_of(run, results)
    write_json(
        run.results,
        {
            "run": results.run,
            "sweep": results.config.sweep.name,
            "preset": results.config.preset.name,
            "question": results.config.sweep.question,
            **_answer(results, verdicts),
            "verdicts": {name: as_json(verdict) for name, verdict in verdicts.items()},
            "trials": [_as_json(trial, results) for trial in results.trials],
            "rungs": [asdict(rung) for rung in rungs(run, results)],
            "published": results.config.sweep.model_dump(mode="json")["published"],
            "facts": dict(results.facts),
            "seconds": numbers(results.seconds if seconds is None else seconds),
        },
    )
    write_text(run.table, results_csv(results, verdicts))
    return collect(run), verdicts


def _answer(results: Results, verdicts: Verdicts) -> dict[str, str]:
    answer = answer_of(results, verdicts)
    return {"headline": answer.headline, "answer": answer.paragraph}


def _as_json(trial: TrialResult, results: Results) -> dict[str, Any]:
    values = asdict(trial)
    del values["spec"]
    values["evaluations"] = {
        name: {metric.name: None for metric in results.measured(name)} | one.as_json()
        for name, one in trial.evaluations.items()
    }
    return {"trial_id": trial.spec.trial_id, "title": trial.title, "ranks": trial.spec.adapter_values, **values}


def _write_sample_grid(run: RunPaths, results: Results) -> Path | None:
    """Writes the sample grid; returns None where there is no sample to show."""
    from fashion_sweep.report.grid import write_grid

    prompts = results.config.sweep.sample_prompts
    rows = {
        trial.title: [run.trial(trial.spec.trial_id).samples / f"{index:02d}.png" for index in range(len(prompts))]
        for trial in results.trials
    }
    drawn = {title: cells for title, cells in rows.items() if any(cell.is_file() for cell in cells)}
    if not drawn:
        return None
    headings = [f"{sample.prompt} (seed {sample.seed})" for sample in prompts]
    write_grid(run.grid, list(drawn), headings, list(drawn.values()))
    return run.grid
