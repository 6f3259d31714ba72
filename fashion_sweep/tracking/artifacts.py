"""Sends files of a run folder to MLflow as artifacts, each once for each time it was written."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TAG = "mlflow.mirroredFiles"
"""The tag of an MLflow run that lists the files sent to it. It is lost with the run, as it must be, and MLflow shows no
tags of this prefix among a run's own."""
LONGEST_TAG = 5000
"""The longest value of a tag, in characters, that every version of MLflow takes."""


class Artifacts:
    def __init__(self, client: "MlflowClient") -> None:
        self._client = client
        self._sent: dict[str, dict[str, str]] = {}
        """The files that were sent and are not in the tag yet, by MLflow run."""
        self.thorough = False
        """Whether the artifacts themselves are looked for, not only the tag that lists them."""

    def send(self, run: "Run", files: Sequence[tuple[Path, str]]) -> dict[str, str]:
        """Uploads the files that are not there yet. Returns the tag that lists all, for the caller to set; empty if it
        is up to date."""
        run_id = run.info.run_id
        listed = json.loads(run.data.tags.get(TAG, "{}"))
        sent = self._sent.setdefault(run_id, {})
        wanted = [(path, folder, _version(path)) for path, folder in files if path.is_file()]
        sizes = self._sizes(run_id, {folder for _, folder, _ in wanted}) if self.thorough else None
        for path, folder, version in wanted:
            name = f"{folder}/{path.name}" if folder else path.name
            there = sizes is None or sizes.get(name) == path.stat().st_size
            if version not in (listed.get(name), sent.get(name)) or not there:
                self._client.log_artifact(run_id, str(path), folder or None)
                sent[name] = version
        text = json.dumps(listed | sent, separators=(",", ":"))
        return {TAG: text} if text != run.data.tags.get(TAG, "{}") and len(text) <= LONGEST_TAG else {}

    def told(self, run: "Run") -> None:
        """Forgets what was sent to `run`, for now its tag says so: the tag is asked, which may be lost with the run."""
        self._sent.pop(run.info.run_id, None)

    def _sizes(self, run_id: str, folders: set[str]) -> dict[str, int | None]:
        listed = [one for folder in sorted(folders) for one in self._client.list_artifacts(run_id, folder or None)]
        return {one.path: one.file_size for one in listed}


def _version(path: Path) -> str:
    """Returns a short fingerprint of a file's size and time; short, for all of a run's files share one tag."""
    now = path.stat()
    return hashlib.blake2b(f"{now.st_size} {now.st_mtime_ns}".encode(), digest_size=4).hexdigest()
