"""The identity of a run, which tells it from all others wherever its folder is moved and whatever it is called."""

import os
from pathlib import Path
from uuid import uuid4

from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import read_json, read_what_may_be_lost, write_json

KEY = "run_key"
"""The key of the identity in `mlflow.json`, should `run.json` get lost."""


def identity(run: RunPaths) -> str:
    """Returns the id in `run.json`, which is given at the first call.

    A folder that was copied, its original on the same machine, is another run from then on; of copies in object storage
    nobody knows.
    """
    facts, here = read_json(run.facts, {}), remote.where(run.root.resolve())
    run_id, there = facts.get("id") or read_what_may_be_lost(run.mirror).get(KEY), facts.get("folder", here)
    if run_id is None or (_id_in(Path(there)) == run_id and not os.path.samefile(there, run.root)):
        run_id = uuid4().hex
    if (run_id, here) != (facts.get("id"), facts.get("folder")):
        write_json(run.facts, facts | {"id": run_id, "folder": here})
    return str(run_id)


def _id_in(folder: Path) -> str | None:
    return read_what_may_be_lost(RunPaths(folder).facts).get("id")
