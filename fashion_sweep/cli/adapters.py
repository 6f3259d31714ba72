"""Commands that use what a run has trained: `generate` and `export`."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from fashion_sweep.cli.options import Preset, RunFolder, Settings, existing_run, given_path

Output = Annotated[
    Path | None,
    Option(help="A folder, or a PNG file for a single image. Default: generated/.", parser=given_path, metavar="PATH"),
]
Adapters = Annotated[
    list[str] | None,
    Option(
        help="models:/NAME@best of MLflow's registry, a safetensors file, or a trial's folder; with :SCALE its "
        "strength, as in mine.safetensors:0.8. May be repeated: each becomes a row of one grid. "
        "Default: none, the base model.",
        metavar="ADAPTER[:SCALE]",
    ),
]


def generate(
    prompt: Annotated[list[str], Option(help="What to show; may be repeated.", metavar="TEXT")],
    adapter: Adapters = None,
    seed: Annotated[list[int] | None, Option(help="Draws the noise; may be repeated. Default: 0.")] = None,
    output: Output = None,
    preset: Preset = None,
    settings: Settings = None,
    scale: Annotated[float, Option(help="Strength of the adapters that are given none of their own.")] = 1.0,
    with_base: Annotated[
        bool | None,
        Option("--with-base/--without-base", help="A row of the base model, too. Default: with several adapters."),
    ] = None,
    size: Annotated[str | None, Option(help="Height and width in pixels, for instance 512x360.", metavar="HxW")] = None,
    steps: Annotated[int | None, Option(help="Denoising steps in all.")] = None,
    guidance: Annotated[float | None, Option(help="Guidance scale.")] = None,
    negative_prompt: Annotated[
        str | None,
        Option(help="What not to show, in every row. Empty: nothing, for the base model as well.", metavar="TEXT"),
    ] = None,
    refine_fraction: Annotated[
        float | None, Option(help="Share of the steps that the refiner makes, for instance 0.2.")
    ] = None,
    no_refiner: Annotated[bool, Option("--no-refiner", help="The base model makes all steps.")] = False,
) -> None:
    """Make images with adapters or the base model, by default as in judging."""
    from fashion_sweep.errors import ConfigError
    from fashion_sweep.handover.generate import generate
    from fashion_sweep.handover.requests import DrawingRequest
    from fashion_sweep.report.console import Terminal

    if no_refiner and refine_fraction:
        raise ConfigError(f"--no-refiner: goes against --refine-fraction {refine_fraction:g}; give one of them")
    wish = DrawingRequest(
        prompts=tuple(dict.fromkeys(prompt)),
        seeds=tuple(dict.fromkeys(seed or [0])),
        adapters=tuple(dict.fromkeys(adapter or ())),
        scale=scale,
        output=output,
        with_base=with_base,
        size=size,
        steps=steps,
        guidance=guidance,
        refine_fraction=0.0 if no_refiner else refine_fraction,
        negative_prompt=negative_prompt,
    )
    for path in generate(wish, preset, settings or (), Terminal(stderr=True)):
        typer.echo(path)


def export(
    run: RunFolder,
    to: Annotated[str, Option("--format", help="diffusers, peft or kohya.", metavar="FORMAT")],
    trial: Annotated[str | None, Option(help="A trial of the run. Default: its best.", metavar="TRIAL")] = None,
    output: Annotated[
        Path | None,
        Option(
            help="A folder that does not exist yet. Default: RUN/exports/TRIAL-FORMAT.",
            parser=given_path,
            metavar="PATH",
        ),
    ] = None,
    trigger_word: Annotated[
        list[str] | None, Option(help="Told in the file and its card; may be repeated.", metavar="WORD")
    ] = None,
    base_model: Annotated[
        str | None, Option(help="The base model's name on the hub, where the preset has a path.", metavar="ID")
    ] = None,
) -> None:
    """Write a trained adapter as other tools read it (kohya: ComfyUI, Forge and others), with a model card."""
    from fashion_sweep.handover.export import ExportRequest, export

    request = ExportRequest(existing_run(run), to, trial, output, tuple(trigger_word or ()), base_model)
    for path in export(request):
        typer.echo(path)
