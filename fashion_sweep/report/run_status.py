"""The standing of a run, from its folder alone: while it goes on, after it was stopped, from any machine."""

import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from fashion_sweep.config.loading import read_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import CONTROL, ESCAPES
from fashion_sweep.judging.standing import read_standings
from fashion_sweep.report.live import LiveTable
from fashion_sweep.report.progress import doing
from fashion_sweep.report.tables import duration
from fashion_sweep.run.paths import RunPaths, TrialPaths
from fashion_sweep.run.retries import Attempts
from fashion_sweep.run.specs import run_specs
from fashion_sweep.run.status import read_status, state_of

LOG_LINES = 8
"""The number of lines shown of the log of a trial that failed."""
TAIL_BYTES = 20_000


def standing(run: RunPaths, going: bool) -> dict[str, Any]:
    """Returns values for a program: whether a process works on the run, and of each trial its state and failures."""
    specs = run_specs(run, read_run_config(run.config))
    return {
        "run": run.name,
        "going": going,
        "doing": doing(run) if going else None,
        "races": {name: {title: asdict(one) for title, one in of.items()} for name, of in read_standings(run).items()},
        "trials": [_trial(run.trial(spec.trial_id), spec, going) for spec in specs],
    }


def show_standing(run: RunPaths, going: bool, console: Console) -> None:
    """Shows people how a run stands, with the failures of its trials and the ends of their logs."""
    config = read_run_config(run.config)
    titles = {spec.trial_id: spec.title for spec in run_specs(run, config)}
    console.print(f"run {run.name}: sweep {config.sweep.name}, preset {config.preset.name}", markup=False)
    console.print(LiveTable(run, list(titles), titles, console, going=going).table())
    for name, by_title in read_standings(run).items():
        for title, one in by_title.items():
            said = f"{title}: {one.images:,} images of {name}, {one.state}: {one.why}"
            console.print(said, markup=False, soft_wrap=True)
    trials = standing(run, going)["trials"]
    for trial in trials:
        for note in trial["notes"]:
            console.print(f"{trial['title']}: {note}", markup=False, soft_wrap=True)
        for failure in trial["failures"]:
            ago = duration(max(0.0, time.time() - failure["time"]))
            console.print(f"{trial['title']}: {ago} ago: {failure['error']}", markup=False, soft_wrap=True)
        if trial["state"] == "failed":
            paths = run.trial(trial["trial_id"])
            console.print(f"{trial['title']} failed: {trial['error']}", markup=False, soft_wrap=True)
            for log in sorted(paths.root.glob(f"{paths.log.stem}*{paths.log.suffix}")):  # one a node
                console.print(f"the end of {log}:", markup=False, soft_wrap=True)
                for line in last_words(log):
                    console.print(f"    {line}", markup=False, soft_wrap=True)
    console.print(_summary(run, [trial["state"] for trial in trials], going), markup=False, soft_wrap=True)


def last_words(log: Path) -> list[str]:
    """Returns the last lines of a trial's log: of its last traceback, where there is one near the end."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    lines = [CONTROL.sub("", ESCAPES.sub("", line)).rstrip() for line in text.splitlines()]
    return [line for line in lines if line][-LOG_LINES:]


def _trial(paths: TrialPaths, spec: TrialSpec, going: bool) -> dict[str, Any]:
    status = read_status(paths)
    state = state_of(paths, status, going)
    places = ("stage", "step", "steps", "images", "images_total", "loss", "time")
    return {
        "trial_id": spec.trial_id,
        "title": spec.title,
        "state": state,
        **{name: status[name] for name in places if name in status},
        "error": status.get("error") if state == "failed" else None,
        "notes": status.get("notes", []),
        "failures": Attempts(paths).failures,
        "log": str(paths.log),
    }


def _summary(run: RunPaths, states: list[str], going: bool) -> str:
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    resume = f"python -m fashion_sweep resume {shlex.quote(run.name)}"
    if going:
        return f"{counts}; a process works on it" + (f": {now}" if (now := doing(run)) else "")
    over = all(state in ("done", "stopped") for state in states)
    if over and run.page.is_file():
        return f"{counts}; report: {run.page}"
    return f"{counts}; no process works on it; {resume} goes on"
