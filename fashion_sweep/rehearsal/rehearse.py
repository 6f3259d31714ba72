"""Carries out a rehearsal from configuration to forecast."""

import json
from collections.abc import Sequence

from rich.console import Console

from fashion_sweep.config.loading import load_preset, load_run_config
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.doors import TASKS
from fashion_sweep.planning.plan import resolved
from fashion_sweep.rehearsal.setting import RehearsalOptions, apart, set_up
from fashion_sweep.rehearsal.stages import Outcome, play
from fashion_sweep.rehearsal.tables import as_json, tables
from fashion_sweep.report.console import Terminal
from fashion_sweep.report.tables import terminal
from fashion_sweep.storage.files import write_json


def config_of(sweep: str, preset: str | None, settings: Sequence[str]) -> RunConfig:
    """Returns the configuration of a sweep; where the name is a task's, that of the task's example.

    Raises:
        ConfigError: a mistake in it.
    """
    if sweep in TASKS and (example := TASKS[sweep].example(load_preset(preset, settings))):
        config: RunConfig = example
        return config
    return resolved(load_run_config(sweep, preset, settings))


def rehearse(config: RunConfig, wish: RehearsalOptions, console: Console) -> Outcome:
    """Rehearses a run. Progress goes to `console`; the result into the rehearsal's folder, too.

    Raises:
        FashionSweepError: a mistake in the configuration or the data, or a stage that failed, by its name.
    """
    setting = set_up(config, wish, console)
    with apart(setting.run.root):
        outcome = play(setting, wish, console)
    write_json(setting.run.rehearsal, as_json(outcome, wish))
    return outcome


def rehearse_and_show(config: RunConfig, wish: RehearsalOptions, in_json: bool) -> None:
    """Prints what `rehearse` finds; as JSON, with its progress on stderr."""
    outcome = rehearse(config, wish, Terminal(stderr=in_json))
    if in_json:
        print(json.dumps(as_json(outcome, wish), indent=2))
        return
    console = Terminal()
    for table in tables(outcome, wish):
        console.print(terminal(table))
    console.print(
        f"rehearsed: all {len(outcome.stages)} stages passed; all of this is in {outcome.setting.run.rehearsal}, whose "
        "folder may be removed",
        soft_wrap=True,
    )
