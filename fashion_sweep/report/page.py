"""Writes a run's report: `results.json`, the plots, the sample grid and `report.md`, all from the run folder alone."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fashion_sweep.files import write_json, write_text
from fashion_sweep.paths import RunPaths
from fashion_sweep.report.answer import sentence
from fashion_sweep.report.results import Results, TrialResult, collect, numbers
from fashion_sweep.report.rungs import rung_table, rungs
from fashion_sweep.report.tables import GAP, markdown, published_tables, time_table, trial_tables


def write_report(run: RunPaths, seconds: Mapping[str, float] | None = None) -> None:
    """Writes, or writes again, everything that people read of a run.

    Args:
        run: a run folder; trials that have not finished or have failed show as gaps.
        seconds: where the time went by stage, `total` among them; None keeps what `results.json` says.

    Raises:
        DataError, RunError: the run folder is not what it should be.
    """
    from fashion_sweep.report.plots import write_plots  # matplotlib takes half a second to import

    write_results(run, collect(run).seconds if seconds is None else seconds)
    results = collect(run)
    plots = write_plots(run, results)
    gridded = _write_sample_grid(run, results)
    write_text(run.report, "\n".join(_page(run, results, plots, gridded)))


def write_results(run: RunPaths, seconds: Mapping[str, float]) -> None:
    """Writes `results.json`: every trial, the answer, the facts, and `seconds` by stage of the run."""
    results = collect(run)
    write_json(
        run.results,
        {
            "run": results.run,
            "sweep": results.config.sweep.name,
            "preset": results.config.preset.name,
            "question": results.config.sweep.question,
            "answer": sentence(results),
            "trials": [_as_json(trial) for trial in results.trials],
            "rungs": [asdict(rung) for rung in rungs(run, results)],
            "published": results.config.sweep.model_dump(mode="json")["published"],
            "facts": dict(results.facts),
            "seconds": numbers(seconds),
        },
    )


def _as_json(trial: TrialResult) -> dict[str, Any]:
    values = asdict(trial)
    del values["spec"]
    return {"trial_id": trial.spec.trial_id, "title": trial.title, "ranks": dict(trial.spec.ranks), **values}


def _page(run: RunPaths, results: Results, plots: list[Path], gridded: bool) -> list[str]:
    sweep = results.config.sweep
    page = [f"# {sweep.name}: {sweep.question}", "", f"**{sentence(results)}**", ""]
    for table in trial_tables(results):
        page += [f"## {table.title}", "", markdown(table)]
    if (early := rung_table(run, results)) is not None:
        page += [f"## {early.title}", "", markdown(early)]
    page += [f"- {trial.title} failed: {trial.error}" for trial in results.trials if trial.state == "failed"]
    if gridded:
        page += ["", "## Samples", "", _image(run, run.grid, "Generated images, by configuration and prompt"), ""]
    if plots:
        page += [
            "## Plots",
            "",
            *(line for plot in plots for line in (_image(run, plot, plot.stem.replace("-", ", ")), "")),
        ]
    for table in published_tables(results):
        page += [f"## {table.title}", "", markdown(table)]
    page += ["## What was run on what", "", *_provenance(results), ""]
    if (times := time_table(results)) is not None:
        page += [f"## {times.title}", "", markdown(times)]
    return page


def _image(run: RunPaths, path: Path, text: str) -> str:
    return f"![{text}]({path.relative_to(run.root).as_posix()})"


def _write_sample_grid(run: RunPaths, results: Results) -> bool:
    """Whether there was any sample to show."""
    from fashion_sweep.report.grid import write_grid

    prompts = results.config.sweep.sample_prompts
    cells = [
        [run.trial(trial.spec.trial_id).samples / f"{index:02d}.png" for index in range(len(prompts))]
        for trial in results.trials
    ]
    if not any(cell.is_file() for row in cells for cell in row):
        return False
    headings = [f"{sample.prompt} (seed {sample.seed})" for sample in prompts]
    write_grid(run.grid, [trial.title for trial in results.trials], headings, cells)
    return True


def _provenance(results: Results) -> list[str]:
    """The run's own record, in words; a reader needs it to believe or repeat the numbers."""
    facts, config = results.facts, results.config
    training, evaluation = config.preset.training, config.preset.evaluation
    length = f"{training.steps} steps" if training.steps else f"{training.epochs} epochs"
    lines = [
        f"- Run `{results.run}`, started {facts.get('started', GAP)}, git commit `{facts.get('git_commit') or GAP}`",
        f"- Preset **{config.preset.name}**: base model `{config.preset.model.base}`, {length} of batch "
        f"{training.batch_size}, "
        f"learning rate {training.learning_rate:g}, LoRA alpha {training.lora_alpha:g}, seed {training.seed}",
        f"- Judged by {evaluation.samples:,} images a trial: {evaluation.features} features, "
        f"CLIP model {evaluation.clip_model}",
        f"- Hardware: {_hardware(facts.get('hardware') or {})}",
    ]
    if versions := facts.get("versions"):
        lines.append("- Versions: " + ", ".join(f"{name} {version}" for name, version in sorted(versions.items())))
    for name, counts in (facts.get("data") or {}).items():
        lines.append(f"- Data, {name}: {_data(counts)}")
    return lines


def _hardware(hardware: Mapping[str, object]) -> str:
    gpus = hardware.get("gpus")
    shown_gpus = ", ".join(map(str, gpus)) if isinstance(gpus, list) and gpus else "no GPU"
    memory = hardware.get("memory_gib")
    shown_memory = f"{memory:.0f} GiB" if isinstance(memory, int | float) else f"{GAP} GiB"
    return f"{hardware.get('cpu', GAP)}, {hardware.get('cores', GAP)} cores, {shown_memory}, {shown_gpus}"


def _data(counts: Mapping[str, object]) -> str:
    dropped = counts.get("dropped")
    reasons = dropped.items() if isinstance(dropped, Mapping) else []
    text = f"{counts.get('kept', GAP)} of {counts.get('images', GAP)} images kept"
    listed = ", ".join(f"{count} {str(reason).replace('_', ' ')}" for reason, count in reasons if count)
    return f"{text}; dropped: {listed}" if listed else text
