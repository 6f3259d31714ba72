"""A runs folder in object storage: `$FASHION_SWEEP_RUNS` is then a URL, and each node works on a copy of its own.

What is behind the URL is the truth. The copy is a local folder, so that the rest of the system reads and maps plain
files. A file that is written is put behind the URL before anyone is told of it; what others have put is fetched at
the moments when it is needed. Beside the copy lies what is known of each file: the version behind the URL that it is,
and how it looked then. So a file that was changed here and not yet put is told from one that others have changed.

Where the runs folder is a plain one, nothing here does anything.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from fashion_sweep.errors import CREDENTIALS, ConfigError, RunError
from fashion_sweep.storage import locks
from fashion_sweep.storage.bucket import Bucket
from fashion_sweep.storage.urls import is_url

logger = logging.getLogger(__name__)

AT_ONCE = 8
"""The number of files that are fetched at the same time."""
LOCAL = ("rehearsals", "mlflow.db", "mlflow.db.lock", "mlflow-artifacts", "mlflow-ui.log")
"""Names that stay in the copy, with all that is in them.
So do Ray's own files, which Ray keeps behind the URL itself."""
IN_A_RUN = ("ray",)
FOR_TRAINING = ("checkpoint", "judged")
"""Beginnings of names in a trial's folder that only its workers need."""
FOR_REPORTS = ("adapter", "data", "estimates", "features", "losses", "pictures", "plots", "samples")
"""Beginnings of names that make up nearly all of a run, and say nothing of how it stands."""


@dataclass(frozen=True)
class Remote:
    bucket: Bucket
    scratch: Path

    @property
    def copy(self) -> Path:
        return self.scratch / "runs"

    def name(self, path: Path) -> str | None:
        """Returns the name of a path under the URL; None of what stays here."""
        relative = os.path.relpath(os.path.abspath(path), self.copy)
        if relative == ".":
            return ""
        parts = relative.split(os.sep)
        if parts[0] in ("..", *LOCAL) or (len(parts) > 1 and parts[1] in IN_A_RUN) or parts[-1].startswith("."):
            return None
        return relative

    def put(self, name: str) -> None:
        with self._record(name) as record:
            self._put(name, record)

    def remove(self, name: str) -> None:
        with self._record(name) as record:
            self.bucket.remove(name)
            (self.copy / name).unlink(missing_ok=True)
            record.write(None, None)

    def fetch(self, folder: str, without: Collection[str], send: bool) -> None:
        listed = self.bucket.versions(folder)
        wanted = self._differing(folder, {name: version.tag for name, version in listed.items()}, without, send)
        if any(name.endswith("/result.json") for name in wanted):  # it ends a trial: all it rests on is there by now
            again = self.bucket.versions(folder)
            tags = {name: version.tag for name, version in again.items() if name in listed or not _is_told(name)}
            wanted = self._differing(folder, tags, without, send)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for told in (False, True):
                list(pool.map(partial(self.settle, send=send), [name for name in wanted if _is_told(name) == told]))

    def _differing(self, folder: str, tags: dict[str, str], without: Collection[str], send: bool) -> list[str]:
        """Returns the names of files here or there that are not known to be the same."""
        here = {str(path.relative_to(self.copy)) for path in (self.copy / folder).rglob("*") if path.is_file()}
        differing = []
        for name in sorted(tags.keys() | here):
            below = name.removeprefix(folder).lstrip("/").split("/")
            parts = [part for above, part in zip(["", *below], below, strict=False) if above != "trials"]  # called so
            if self.name(self.copy / name) is None or any(part.startswith(tuple(without)) for part in parts if without):
                continue
            record, looks = _StoredAs.read(self._known(name)), _looks(self.copy / name)
            changed = looks is not None and looks != record.looks
            if tags.get(name) != record.tag or looks is None or (changed and send):
                differing.append(name)
        return differing

    def settle(self, name: str, send: bool = False) -> None:
        """Makes the file here what it is there, or the other way round where only this one was changed."""
        path = self.copy / name
        with self._record(name) as record:
            version, looks = self.bucket.version(name), _looks(path)
            if version is None:
                if looks is not None and looks == record.looks:
                    if not self.bucket.exists():  # else this would empty the copy, too
                        raise RunError(f"{self.bucket.url}: is not there any more")
                    path.unlink()  # it was removed
                    record.write(None, None)
                elif looks is not None and send:
                    self._put(name, record)
            elif version.tag == record.tag and looks is not None:
                if send:
                    self._put(name, record)
            else:
                self._get(name, record, version.tag, version.modified_ns)

    def _put(self, name: str, record: "_StoredAs") -> None:
        looks = _looks(self.copy / name)
        if looks is None or looks == record.looks:
            return
        self.bucket.put(name, self.copy / name)
        version = self.bucket.version(name)
        record.write(version.tag if version else None, looks)

    def _get(self, name: str, record: "_StoredAs", tag: str, modified_ns: int) -> None:
        path = self.copy / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.fetched")
        try:
            if self.bucket.get(name, temporary):
                os.utime(temporary, ns=(modified_ns, modified_ns))
                temporary.replace(path)
                record.write(tag, _looks(path))
        finally:
            temporary.unlink(missing_ok=True)

    def _known(self, name: str) -> Path:
        return self.scratch / "known" / name

    @contextmanager
    def _record(self, name: str) -> Iterator["_StoredAs"]:
        """Opens the record of a file, for one process and thread of this node at a time."""
        path = self._known(name).with_name(self._known(name).name + ".known")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as lock:
            locks.lock(lock, variable="FASHION_SWEEP_SCRATCH")
            yield _StoredAs.read(self._known(name))


@dataclass
class _StoredAs:
    """The record of a file: its version behind the URL, and how the copy looked when it was that version."""

    path: Path
    tag: str | None = None
    looks: list[int] | None = None

    @classmethod
    def read(cls, place: Path) -> "_StoredAs":
        path = place.with_name(place.name + ".known")
        try:
            return cls(path, *json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return cls(path)

    def write(self, tag: str | None, looks: list[int] | None) -> None:
        self.path.write_text(json.dumps([tag, looks]), encoding="utf-8")
        self.tag, self.looks = tag, looks


def _is_told(name: str) -> bool:
    """Returns whether a file holds facts that others act on; it is fetched after the files that they speak of."""
    return name.endswith(".json")


def _looks(path: Path) -> list[int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def current() -> Remote | None:
    """Returns the runs folder in object storage; None where it is a plain one."""
    where = os.environ.get("FASHION_SWEEP_RUNS", "")
    return _remote(where, os.environ.get("FASHION_SWEEP_SCRATCH", "")) if is_url(where) else None


@lru_cache(maxsize=4)
def _remote(url: str, scratch: str) -> Remote:
    """Returns the runs folder behind a URL.

    Raises:
        ConfigError: it is no URL of a folder, or has a password in it.
    """
    if CREDENTIALS.search(url):
        raise ConfigError("FASHION_SWEEP_RUNS: is an address with a password; credentials belong into the environment")
    scheme, _, folder = url.partition("://")
    if not folder.strip("/") or not scheme:
        raise ConfigError(f"FASHION_SWEEP_RUNS: {url!r} names no folder; it must be like s3://bucket/runs, or a path")
    url = url.rstrip("/")
    digest = hashlib.blake2b(url.encode(), digest_size=8).hexdigest()
    return Remote(Bucket(url), Path(os.path.expanduser(scratch or "~/.cache/fashion_sweep")).resolve() / digest)


def _placed(path: Path) -> tuple[Remote, str] | None:
    """Returns the storage of a path and its name there; None of what has no place behind a URL."""
    remote = current()
    name = remote.name(path) if remote else None
    return (remote, name) if remote and name is not None else None


def put(path: Path) -> None:
    """Puts a file that was written; returns when it is there.

    Raises:
        RunError: the storage fails for minutes.
    """
    if place := _placed(path):
        place[0].put(place[1])


def remove(path: Path) -> None:
    """Removes a file here and there; it is no error if it is missing."""
    if place := _placed(path):
        place[0].remove(place[1])
    else:
        path.unlink(missing_ok=True)


def fetch(folder: Path, without: Collection[str] = (), send: bool = False) -> None:
    """Brings `folder` up to date.

    Args:
        without: files and folders in it that begin so are left as they are.
        send: puts what was changed here, and by nobody else, since it was last put: what an attempt that was cut
            short left.
    """
    if place := _placed(folder):
        place[0].fetch(place[1], without, send)


def fetch_file(path: Path) -> None:
    """Brings one file up to date."""
    if place := _placed(path):
        place[0].settle(place[1])


def remove_folder(folder: Path) -> None:
    """Removes a folder with all that is in it, here and there; it is no error if it is missing."""
    if place := _placed(folder):
        for name in place[0].bucket.versions(place[1]):
            place[0].remove(name)
    shutil.rmtree(folder, ignore_errors=True)


def names(folder: Path) -> set[str]:
    """Returns the names of the files in `folder` and below, relative to it.
    Of a folder in object storage they are those that are there, not those in the copy."""
    if place := _placed(folder):
        return {name.removeprefix(f"{place[1]}/") for name in place[0].bucket.versions(place[1])}
    files = (path.relative_to(folder) for path in folder.rglob("[!.]*") if path.is_file())
    return {str(path) for path in files}


def where(path: Path) -> str:
    """Returns the place of a path as people are told it: the URL of what is behind one."""
    place = _placed(path)
    return f"{place[0].bucket.url}/{place[1]}" if place else str(path)
