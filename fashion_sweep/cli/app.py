"""The command line: reads words, calls the sweep, and turns errors into one line and an exit code."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from fashion_sweep import __version__
from fashion_sweep.cli import data as data_commands
from fashion_sweep.cli import garment as garment_commands
from fashion_sweep.cli.adapters import export, generate
from fashion_sweep.cli.options import Preset, RunFolder, Settings, SweepName, existing_run, given_path
from fashion_sweep.cli.runs import resume, run, status
from fashion_sweep.errors import ConfigError, FashionSweepError, Interrupted, RunError, shown
from fashion_sweep.planning.gpu import ASSUMED
from fashion_sweep.process import settle_environment
from fashion_sweep.run.paths import RunPaths, runs_root

if TYPE_CHECKING:
    from rich.console import Console

app = typer.Typer(
    name="fashion-sweep",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(data_commands.app, name="data")
app.add_typer(garment_commands.app, name="garment")


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fashion-sweep {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, Option("--version", callback=_say_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Find the LoRA configuration that a fashion catalogue should use for its image model."""


app.command()(run)
app.command()(resume)
app.command()(status)


@app.command()
def plan(
    sweep: SweepName,
    preset: Preset = None,
    settings: Settings = None,
    as_json: Annotated[bool, Option("--json", help="As JSON.")] = False,
) -> None:
    """Show the trials of a sweep and their exact sizes, and those of the cache, without weights or data."""
    from fashion_sweep.config.loading import load_run_config
    from fashion_sweep.encodings.size import cache_size, known_counts
    from fashion_sweep.planning.plan import plan, resolved, specs_of
    from fashion_sweep.planning.space import wanted
    from fashion_sweep.tasks.preflight import check_judging, check_trials

    asked = load_run_config(sweep, preset, settings or ())
    config = resolved(asked)
    check_trials(config)
    check_judging(config)
    planned, counts = plan(config), known_counts(config)
    size = cache_size(config, specs_of(config), counts)
    if as_json:
        cache = asdict(size) | {"counts": counts.source}
        typer.echo(json.dumps({"trials": [asdict(trial) for trial in planned], "cache": cache}, indent=2))
        return
    from fashion_sweep.report.cache_table import cache_sentences, cache_table
    from fashion_sweep.report.console import Terminal
    from fashion_sweep.report.race_words import race_sentences
    from fashion_sweep.report.tables import plan_table, terminal

    console = Terminal()
    budget = asked.sweep.space and asked.sweep.space.budget
    nearest_to = wanted(asked, budget) if budget and budget.nearest else None
    console.print(terminal(plan_table(planned, config.sweep, nearest_to)))
    console.print(terminal(cache_table(config, size)))
    for sentence in [*cache_sentences(config, size, counts), *race_sentences(config)]:
        console.print(sentence, markup=False)


@app.command()
def rehearse(
    sweep: SweepName,
    preset: Preset = None,
    settings: Settings = None,
    random_weights: Annotated[
        bool, Option("--random-weights", help="True architectures with random weights: needs no weights.")
    ] = False,
    gpus: Annotated[int | None, Option(help="GPUs to forecast for. Default: those of one trial.", min=1)] = None,
    tflops: Annotated[
        float, Option(help="What a GPU sustains, in bfloat16, where none can be timed.", min=1)
    ] = ASSUMED.bfloat16 / 1e12,
    as_json: Annotated[bool, Option("--json", help="As JSON.")] = False,
) -> None:
    """Go through every stage of a sweep (or of a garment: rehearse garment) on two samples; forecast memory, hours
    and disk."""
    from fashion_sweep.rehearsal.rehearse import RehearsalOptions, config_of, rehearse_and_show

    config = config_of(sweep, preset, settings or ())

    rehearse_and_show(config, RehearsalOptions(random_weights, gpus, tflops), as_json)


@app.command()
def report(
    runs: Annotated[
        list[str], typer.Argument(help="Run folders, or their names under the runs folder.", metavar="RUN…")
    ],
    output: Annotated[
        Path | None,
        Option(
            help="Folder for several runs' report. Default: comparisons/ under the runs folder.",
            parser=given_path,
            metavar="PATH",
        ),
    ] = None,
) -> None:
    """Write a run's report again from its folder, and print it; of several runs, put them side by side."""
    from fashion_sweep.report.console import Terminal

    console = Terminal()
    if len(runs) > 1:
        _compare([existing_run(run) for run in runs], output, console)
        return
    if output is not None:
        raise RunError("--output is for several runs; the report of one lies in its folder")
    from fashion_sweep.config.loading import read_run_config
    from fashion_sweep.tasks.task import task_of

    paths = existing_run(runs[0])
    task = task_of(read_run_config(paths.config))
    task.write_report(paths)
    task.show(paths, console)


def _compare(runs: list[RunPaths], output: Path | None, console: "Console") -> None:
    from fashion_sweep.report.side_by_side import folder_name, write_side_by_side
    from fashion_sweep.report.tables import terminal

    folder = output or runs_root() / "comparisons" / folder_name(runs)
    for table in write_side_by_side(runs, folder):
        console.print(terminal(table, numbers_whole=False))
    console.print(f"report: {folder / 'side-by-side.html'}", soft_wrap=True)


app.command()(generate)
app.command()(export)


@app.command()
def sync(run: RunFolder) -> None:
    """Bring MLflow up to date with a run folder."""
    from fashion_sweep.run.claim import is_claimed
    from fashion_sweep.tracking.mirror import mirror
    from fashion_sweep.tracking.store import shown, tracking_uri

    paths = existing_run(run)
    left_out = mirror(paths, going=is_claimed(paths))
    but = f", but for runs that were deleted there: {', '.join(left_out)}" if left_out else ""
    typer.echo(f"{run} is up to date in {shown(tracking_uri())}{but}")


@app.command()
def ui(port: Annotated[int, Option(help="Port on this machine's loopback address.")] = 5000) -> None:
    """Open the MLflow UI on the store that runs are tracked in."""
    from fashion_sweep.tracking.ui import open_ui

    open_ui(port)


def _check_words(words: Sequence[str]) -> None:
    """Checks that the words are UTF-8, as text is wherever it goes: into a tokenizer, a run folder, a picture, a URL.

    Raises:
        ConfigError: the command line has bytes that are none.
    """
    for before, word in zip(["", *words], words, strict=False):
        try:
            word.encode("utf-8")
        except UnicodeEncodeError:
            option = f"{before} " if before.startswith("-") else ""
            written = os.fsencode(word).decode("utf-8", "backslashreplace")
            raise ConfigError(
                f"{option}{written}: is no UTF-8 text; write it again in a terminal set to UTF-8"
            ) from None


def main() -> None:
    """Runs the command line: the entry point of `fashion-sweep` and `python -m fashion_sweep`."""
    try:
        settle_environment()
        _check_words(sys.argv[1:])
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        code = Interrupted.exit_code
    except FashionSweepError as error:
        code = error.exit_code
        print(shown(f"{error}" if isinstance(error, Interrupted) else f"error: {error}"), file=sys.stderr)
    except OSError as error:  # of a disk or a folder: names the file and the reason
        code = 2
        print(shown(f"error: {error}"), file=sys.stderr)
    except typer.TyperException as error:
        code = 2
        print(f"error: {' '.join(error.format_message().split())}", file=sys.stderr)
    sys.exit(code)
