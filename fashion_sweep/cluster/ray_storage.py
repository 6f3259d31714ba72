"""Decides where Ray Tune and Ray Train keep their files: in the run's folder, wherever that is."""

from typing import Any

from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage import remote
from fashion_sweep.storage.urls import open_system


def ray_storage(run: RunPaths) -> dict[str, Any]:
    """Returns the storage arguments for the `RunConfig` of Tune or Train. The file system is the one that our own files
    go through, so that whatever lets those through (package, credentials, endpoint) is enough."""
    stored = remote.current()
    if stored is None:
        return {"storage_path": str(run.ray)}
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    system, path = open_system(f"{stored.bucket.url}/{run.name}/{run.ray.name}", use_listings_cache=False)
    return {"storage_path": path, "storage_filesystem": PyFileSystem(FSSpecHandler(system))}


def forget(run: RunPaths, name: str) -> None:
    """Removes one of Ray's files from the run's folder."""
    if stored := remote.current():
        stored.bucket.remove(f"{run.name}/{run.ray.name}/{name}")
    else:
        (run.ray / name).unlink(missing_ok=True)
