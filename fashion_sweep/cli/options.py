"""Options and arguments that several commands share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from fashion_sweep.errors import RunError
from fashion_sweep.run.claim import RESERVED
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.run.stage_inputs import fetch_run
from fashion_sweep.storage import remote

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


def given_path(text: str) -> Path:
    """Reads the path that an option is given; empty text, which would be the current folder, is refused."""
    if not text.strip():
        raise typer.BadParameter("is empty")
    return Path(text)


def existing_run(run: str, without: Sequence[str] = remote.FOR_TRAINING) -> RunPaths:
    """Finds the folder of a run by its path or its name under the runs folder.

    Where runs are in object storage, its copy is brought up to date, but for what begins with one of `without`.

    Raises:
        RunError: there is none of that name.
    """
    if not run.strip():
        raise RunError("the run is empty text; give a run folder, or its name under the runs folder")
    if stored := remote.current():
        return _stored(run, stored, without)
    for folder in (Path(run), runs_root() / run):
        if RunPaths(folder).config.is_file():
            return RunPaths(folder.resolve())
    config_files = sorted(runs_root().glob("*/config.yaml"), key=lambda path: path.stat().st_mtime, reverse=True)
    raise _unknown(run, str(runs_root()), [path.parent.name for path in config_files])


def _stored(run: str, stored: remote.Remote, without: Sequence[str]) -> RunPaths:
    """Finds a run in object storage and fetches it; a folder on this machine may be one, too."""
    name = Path(run).resolve().name
    names = sorted(set(stored.bucket.folders()) - RESERVED, reverse=True)
    paths = RunPaths(runs_root() / name)
    if name in names and (run == name or Path(run).resolve() == paths.root):
        fetch_run(paths, without)
    elif (Path(run) / paths.config.name).is_file():
        return RunPaths(Path(run).resolve())
    if not paths.config.is_file():
        raise _unknown(run, stored.bucket.url, names)
    return paths


def _unknown(run: str, where: str, names: list[str]) -> RunError:
    more = f" and {len(names) - KNOWN_RUNS} older" if len(names) > KNOWN_RUNS else ""
    listed = ", ".join(names[:KNOWN_RUNS]) or "none yet"
    return RunError(f"no run {run!r} here or in {where}; known: {listed}{more}")
