"""Files of a run folder as artifacts of MLflow runs, each sent once for each time it was written."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TAG = "mlflow.mirroredFiles"
"""On the run itself, so that it is lost with the run. MLflow shows no tags of this prefix among a run's own."""
LONGEST_TAG = 5000
"""Characters that every MLflow takes."""


class Artifacts:
    def __init__(self, client: "MlflowClient") -> None:
        self._client = client
        self._sent: dict[str, dict[str, str]] = {}
        """By MLflow run: what was sent and is not in its tag yet."""
        self.thorough = False
        """Whether the artifacts themselves are looked for, not only the tag that tells of them."""

    def send(self, run: "Run", files: Sequence[tuple[Path, str]]) -> dict[str, str]:
        """Uploads what is not there. Returns the tag that tells of it, to be set by the caller; none if all is told."""
        run_id = run.info.run_id
        told = json.loads(run.data.tags.get(TAG, "{}"))
        sent = self._sent.setdefault(run_id, {})
        wanted = [(path, folder, _version(path)) for path, folder in files if path.is_file()]
        sizes = self._sizes(run_id, {folder for _, folder, _ in wanted}) if self.thorough else None
        for path, folder, version in wanted:
            name = f"{folder}/{path.name}" if folder else path.name
            there = sizes is None or sizes.get(name) == path.stat().st_size
            if version not in (told.get(name), sent.get(name)) or not there:
                self._client.log_artifact(run_id, str(path), folder or None)
                sent[name] = version
        text = json.dumps(told | sent, separators=(",", ":"))
        return {TAG: text} if text != run.data.tags.get(TAG, "{}") and len(text) <= LONGEST_TAG else {}

    def told(self, run: "Run") -> None:
        """From now on the tag is asked, which may be lost again with the rest."""
        self._sent.pop(run.info.run_id, None)

    def _sizes(self, run_id: str, folders: set[str]) -> dict[str, int | None]:
        listed = [one for folder in sorted(folders) for one in self._client.list_artifacts(run_id, folder or None)]
        return {one.path: one.file_size for one in listed}


def _version(path: Path) -> str:
    """Short, for all of them share one tag."""
    known = path.stat()
    return hashlib.blake2b(f"{known.st_size} {known.st_mtime_ns}".encode(), digest_size=4).hexdigest()
