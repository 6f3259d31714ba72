"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from fashion_sweep.errors import RunError
from fashion_sweep.paths import RunPaths, runs_root

KNOWN_RUNS = 8

Preset = Annotated[
    str | None, Option(help="Preset name or YAML file. Default: $FASHION_SWEEP_PRESET, else tiny.", metavar="PRESET")
]
Settings = Annotated[
    list[str] | None,
    Option(
        "--set",
        help="Replace a value of the preset, or of the sweep as sweep.KEY; may be repeated.",
        metavar="KEY=VALUE",
    ),
]
SweepName = Annotated[str, typer.Argument(help="Sweep name (a file in sweeps/) or YAML file.", metavar="SWEEP")]
RunFolder = Annotated[str, typer.Argument(help="A run folder, or its name under the runs folder.", metavar="RUN")]


def existing_run(run: str) -> RunPaths:
    """Raises:
    RunError: there is none of that name.
    """
    for folder in (Path(run), runs_root() / run):
        if RunPaths(folder).config.is_file():
            return RunPaths(folder.resolve())
    known = sorted(runs_root().glob("*/config.yaml"), key=lambda path: path.stat().st_mtime, reverse=True)
    more = f" and {len(known) - KNOWN_RUNS} older" if len(known) > KNOWN_RUNS else ""
    listed = ", ".join(path.parent.name for path in known[:KNOWN_RUNS]) or "none yet"
    raise RunError(f"no run {run!r} here or in {runs_root()}; known: {listed}{more}")
