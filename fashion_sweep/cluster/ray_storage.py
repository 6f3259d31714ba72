"""Where Ray Tune and Ray Train keep what is theirs: in the run's folder, wherever that is."""

from typing import Any

from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage import remote
from fashion_sweep.storage.urls import open_system


def ray_storage(run: RunPaths) -> dict[str, Any]:
    """For the `RunConfig` of either. The file system is the one that our own files go through, so that whatever lets
    those through (package, credentials, endpoint) is enough."""
    stored = remote.current()
    if stored is None:
        return {"storage_path": str(run.ray)}
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    system, path = open_system(f"{stored.bucket.url}/{run.name}/{run.ray.name}", use_listings_cache=False)
    return {"storage_path": path, "storage_filesystem": PyFileSystem(FSSpecHandler(system))}


def forget(run: RunPaths, name: str) -> None:
    """Removes a file of Ray's."""
    if stored := remote.current():
        stored.bucket.remove(f"{run.name}/{run.ray.name}/{name}")
    else:
        (run.ray / name).unlink(missing_ok=True)
