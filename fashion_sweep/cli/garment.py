"""The commands on garments, `fashion_sweep garment …`: from one photo to an adapter and on-model pictures."""

import os
import re
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from fashion_sweep.cli.options import Preset, Settings, given_path

app = typer.Typer(help="Adapters of single garments, from one photo each.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def garment() -> None:
    """Adapters of single garments, from one photo each."""


@app.command()
def train(
    photos: Annotated[
        list[str],
        typer.Argument(
            help="Photos, folders of photos, or CSV files with the columns photo, kind, attribute, name; embedded:N "
            "for N garments of the embedded world.",
            metavar="PHOTO…",
        ),
    ],
    kind: Annotated[str | None, Option(help="What it is, for instance sweater.", metavar="WORD")] = None,
    attribute: Annotated[str, Option(help="What is special about it: pattern or colour.", metavar="WORD")] = "pattern",
    name: Annotated[str | None, Option(help="Of the garment. Default: as its file.")] = None,
    run: Annotated[str | None, Option("--run", help="Name of the run folder; an existing one is continued.")] = None,
    like: Annotated[
        str | None,
        Option(help="Adapt what this adapter adapts. Default: the denoiser at rank 1.", metavar="models:/NAME@best"),
    ] = None,
    preset: Preset = None,
    settings: Settings = None,
) -> None:
    """Train an adapter on each photo, and draw the garment on people."""
    from fashion_sweep.cli.runs import carry_out
    from fashion_sweep.config.loading import load_preset
    from fashion_sweep.data.garment import read_garments
    from fashion_sweep.run.claim import LONGEST, new_run
    from fashion_sweep.storage.files import shortened
    from fashion_sweep.tasks.garment.recipe import check_settings, check_tokens, garment_config, placement_like
    from fashion_sweep.tasks.garment.region import ANYWHERE, band_of

    garments = read_garments(photos, kind, attribute, name, lambda text: typer.echo(f"note: {text}", err=True))
    check_settings(settings or ())
    values = load_preset(preset, settings or ())
    config = garment_config(values, garments, placement_like(like) if like is not None else None)
    check_tokens(values)
    for word in sorted({one.kind for one in garments if band_of(one.kind) == ANYWHERE}):
        typer.echo(f"note: where {word} is worn is not known; on a person the whole figure is compared", err=True)
    single = garments[0].name if len(garments) == 1 else re.sub(r"[^\w.-]+", "-", Path(photos[0]).stem)
    ending = f"-{values.name}"
    run_name = shortened(f"garment-{single}", LONGEST - len(os.fsencode(ending)), lambda text: len(os.fsencode(text)))
    paths = new_run(config, run_name + ending if run is None else run, "--run")
    carry_out(config, paths)


@app.command()
def generate(
    name: Annotated[str, typer.Argument(help="A garment that was trained.", metavar="NAME")],
    prompt: Annotated[
        list[str] | None,
        Option(help="With [v] for the garment and [u] for its pattern or colour; may be repeated.", metavar="TEXT"),
    ] = None,
    prefix: Annotated[
        str | None, Option(help='Before each prompt. Default: as in training; "" for none.', metavar="TEXT")
    ] = None,
    seeds: Annotated[int, Option(help="Pictures of each prompt.", min=1, max=1000)] = 8,
    output: Annotated[
        Path | None, Option(help="Folder for the pictures. Default: generated/NAME.", parser=given_path, metavar="PATH")
    ] = None,
) -> None:
    """Draw a garment on people, and rank the pictures by how close they come to its photo."""
    from fashion_sweep.report.console import Terminal
    from fashion_sweep.tasks.garment.pictures import draw_garment, find_garment

    trained = find_garment(name)
    typer.echo(f"{name} of run {trained.run.name}", err=True)
    prompts = trained.prompts(prompt or (), prefix)
    pictures, sheet = draw_garment(trained, prompts, range(seeds), output, Terminal(stderr=True))
    for place, picture in enumerate(pictures, 1):
        scores = picture["closeness"][trained.garment.name]
        typer.echo(
            f"{place:3}. {picture['file']}  closeness {scores['score']:.1f}  ΔE {scores['colour']:.1f}  "
            f"pattern {scores['pattern']:.2f}  CLIP {scores['clip']:.2f}  seed {picture['seed']}  {picture['prompt']}"
        )
    typer.echo(f"contact sheet: {sheet}")
