"""A run's answer and tables in the terminal."""

from rich.console import Console

from fashion_sweep.files import read_what_may_be_lost
from fashion_sweep.paths import RunPaths
from fashion_sweep.report.answer import answer
from fashion_sweep.report.conclusion import read_conclusions
from fashion_sweep.report.results import collect
from fashion_sweep.report.rungs import rung_table
from fashion_sweep.report.sections import estimate_table
from fashion_sweep.report.tables import (
    forgetting_tables,
    published_tables,
    terminal,
    time_table,
    trial_tables,
)


def show_summary(run: RunPaths, console: Console) -> None:
    results, conclusions = collect(run), read_conclusions(run)
    times = time_table(results)
    sure = [estimate_table(results, name, conclusion) for name, conclusion in conclusions.items()]
    ours = [*sure, *trial_tables(results), rung_table(run, results), *forgetting_tables(results)]
    for table in [*ours, *published_tables(results), times]:
        if table is not None:
            console.print(terminal(table))
    for trial in results.trials:
        if trial.state == "failed":
            log = run.trial(trial.spec.trial_id).log
            console.print(f"{trial.title} failed: {trial.error} (log: {log})", soft_wrap=True, markup=False)
    console.print(answer(results, conclusions), markup=False)
    if registered := read_what_may_be_lost(run.mirror).get("registered"):
        console.print(f"registered: {registered}", soft_wrap=True, markup=False)
    console.print(f"report: {run.page}", soft_wrap=True)
