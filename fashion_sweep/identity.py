"""What tells a run from all others, wherever its folder is moved and whatever it is called."""

from pathlib import Path
from uuid import uuid4

from fashion_sweep.files import read_json, read_what_may_be_lost, write_json
from fashion_sweep.paths import RunPaths
from fashion_sweep.storage import remote

KEY = "run_key"
"""In `mlflow.json`, should `run.json` get lost."""


def identity(run: RunPaths) -> str:
    """The id in `run.json`, given at the first call. A folder that was copied, its original beside it, is another run
    from then on."""
    facts, here = read_json(run.facts, {}), remote.where(run.root.resolve())
    known, there = facts.get("id") or read_what_may_be_lost(run.mirror).get(KEY), facts.get("folder", here)
    if known is None or (there != here and _id_in(Path(there)) == known):
        known = uuid4().hex
    if (known, here) != (facts.get("id"), facts.get("folder")):
        write_json(run.facts, facts | {"id": known, "folder": here})
    return str(known)


def _id_in(folder: Path) -> str | None:
    return read_what_may_be_lost(RunPaths(folder).facts).get("id")
