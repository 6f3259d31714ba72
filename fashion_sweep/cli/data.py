"""The commands on data sets: `fashion_sweep data …`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from typer import Option

from fashion_sweep.cli.options import Preset, Settings

app = typer.Typer(help="Look at the data before a run.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def data() -> None:
    """Look at the data before a run."""


@app.command()
def check(
    names: Annotated[
        list[str] | None, typer.Argument(help="Data sets of the preset. Default: all that it has.", metavar="SET")
    ] = None,
    preset: Preset = None,
    settings: Settings = None,
    as_json: Annotated[bool, Option("--json", help="As JSON.")] = False,
) -> None:
    """Count, measure and compare the images and captions of a preset's data sets; the second time at once."""
    from fashion_sweep.config.loading import load_preset
    from fashion_sweep.data.catalogue import check_tolerable
    from fashion_sweep.planning.inspection import check_data, configured
    from fashion_sweep.report.console import Terminal
    from fashion_sweep.report.data_tables import data_sentences, data_tables
    from fashion_sweep.report.tables import terminal

    values = load_preset(preset, settings or ())
    console, catalogues, checks = Terminal(), {}, {}
    for name in configured(values, names or ()):
        with Terminal(stderr=True).status(f"reading the {name} data"):
            checked, catalogues[name] = check_data(name, values)
        if as_json:
            checks[name] = asdict(checked)
            continue
        for table in data_tables(checked):
            console.print(terminal(table))
        for sentence in data_sentences(checked, values.evaluation):
            console.print(sentence, markup=False, soft_wrap=True)
        console.print()
    if as_json:
        typer.echo(json.dumps(checks, indent=2))
    for name, catalogue in catalogues.items():
        check_tolerable(catalogue, str(values.data[name].root))
