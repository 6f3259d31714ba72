"""What tells a run from all others, wherever its folder is moved and whatever it is called."""

import os
from pathlib import Path
from uuid import uuid4

from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import read_json, read_what_may_be_lost, write_json

KEY = "run_key"
"""In `mlflow.json`, should `run.json` get lost."""


def identity(run: RunPaths) -> str:
    """The id in `run.json`, given at the first call. A folder that was copied, its original on the same machine, is
    another run from then on; of copies in object storage nobody knows."""
    facts, here = read_json(run.facts, {}), remote.where(run.root.resolve())
    known, there = facts.get("id") or read_what_may_be_lost(run.mirror).get(KEY), facts.get("folder", here)
    if known is None or (_id_in(Path(there)) == known and not os.path.samefile(there, run.root)):
        known = uuid4().hex
    if (known, here) != (facts.get("id"), facts.get("folder")):
        write_json(run.facts, facts | {"id": known, "folder": here})
    return str(known)


def _id_in(folder: Path) -> str | None:
    return read_what_may_be_lost(RunPaths(folder).facts).get("id")
