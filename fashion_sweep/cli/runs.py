"""The commands `run`, `resume` and `status`."""

import json
import shlex
from typing import Annotated

import typer
from typer import Option

from fashion_sweep.cli.options import Preset, RunFolder, Settings, SweepName, existing_run
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.errors import Interrupted, RunError
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json

EXIT_SOME_TRIALS_FAILED = 3


def run(
    sweep: SweepName,
    preset: Preset = None,
    settings: Settings = None,
    name: Annotated[str | None, Option(help="Name of the run folder; an existing one is continued.")] = None,
    adapters_from: Annotated[
        str | None,
        Option(help="Take what this run (a folder or its name) has trained in the same way.", metavar="RUN"),
    ] = None,
) -> None:
    """Train, judge and compare every trial of a sweep."""
    from fashion_sweep.config.loading import load_run_config
    from fashion_sweep.planning.plan import resolved
    from fashion_sweep.run.claim import new_run

    config = resolved(load_run_config(sweep, preset, settings or ()))
    paths = new_run(config, name)
    carry_out(config, paths, existing_run(adapters_from) if adapters_from is not None else None)


def resume(run: RunFolder) -> None:
    """Go on with a run that was stopped, however it was; trials that failed are tried again."""
    from fashion_sweep.config.loading import read_run_config

    paths, adapters_from = existing_run(run), None
    if source := read_json(paths.facts, {}).get("adapters_from"):
        try:
            adapters_from = existing_run(source)
        except RunError:
            typer.echo(f"{source} is gone; what it has not given yet is trained here")
    carry_out(read_run_config(paths.config), paths, adapters_from)


def status(run: RunFolder, as_json: Annotated[bool, Option("--json", help="As JSON.")] = False) -> None:
    """Tell what of a run is done, running, waiting or failed, and why."""
    from fashion_sweep.report.console import Terminal
    from fashion_sweep.report.run_status import show_standing, standing
    from fashion_sweep.run.claim import is_claimed
    from fashion_sweep.storage import remote

    paths = existing_run(run, without=(*remote.FOR_TRAINING, *remote.FOR_REPORTS))
    going = is_claimed(paths)
    if as_json:
        typer.echo(json.dumps(standing(paths, going), indent=2))
    else:
        show_standing(paths, going, Terminal())


def carry_out(config: RunConfig, paths: RunPaths, adapters_from: RunPaths | None = None) -> None:
    from fashion_sweep.cluster.interrupt import impatient_interrupt
    from fashion_sweep.report.console import Terminal
    from fashion_sweep.tasks.sweep import run_sweep

    try:
        with impatient_interrupt():
            complete = run_sweep(config, paths, Terminal(), adapters_from)
    except KeyboardInterrupt:
        raise Interrupted(f"interrupted; {_how_to_go_on(paths)} goes on from here") from None
    except OSError as error:  # a disk that is full, or gone
        if not paths.config.is_file():
            raise
        raise RunError(f"{error}; when that is mended, {_how_to_go_on(paths)} goes on from here") from error
    if not complete:
        raise typer.Exit(EXIT_SOME_TRIALS_FAILED)


def _how_to_go_on(paths: RunPaths) -> str:
    return f"python -m fashion_sweep resume {shlex.quote(paths.name)}"
