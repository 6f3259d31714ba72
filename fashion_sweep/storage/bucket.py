"""Whole files behind a URL, by their names under it: what a runs folder in object storage is made of.

A network that fails for a while is met with patience: what is asked is asked again, for minutes, before it fails.
"""

import errno
import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from fashion_sweep.errors import StorageError, first_line
from fashion_sweep.storage.urls import modified_ns, open_system, unreachable

logger = logging.getLogger(__name__)
T = TypeVar("T")

PATIENCE_S = 300.0
PAUSES_S = (0.5, 30.0)
"""Seconds to wait before the second attempt, and at most."""
TAGS = ("ETag", "etag", "md5Hash", "content_md5", "mtime")
"""The names that storages give to the tag that tells one content of a file from another."""
CHECK = ".fashion_sweep"
"""An object that is written to see whether that works; where it is, so is the runs folder."""


class Version(NamedTuple):
    tag: str
    """A text that differs where the content of the file differs."""
    modified_ns: int
    """The time of the last change in nanoseconds, by the storage's clock."""


@dataclass(frozen=True)
class Bucket:
    url: str

    def check(self) -> Version:
        """Checks that the storage can be written and read, without patience.

        Returns:
            The version of what was just written: it tells the storage's time.

        Raises:
            DataError: the URL or its package is no good, there is no such bucket, no permission, or no answer.
        """
        system, path = self._opened(CHECK)
        try:
            self._write(system, path, b"fashion_sweep keeps runs here\n")
            return _version(system.info(path))
        except Exception as error:
            raise unreachable(self.url, error, "written to") from error

    def exists(self) -> bool:
        return self.version(CHECK) is not None

    def folders(self) -> list[str]:
        """Returns the names of the folders in the bucket, without patience.

        Raises:
            DataError: it cannot be reached.
        """
        system, path = self._opened("")
        try:
            listed = system.ls(path, detail=True)
        except FileNotFoundError:
            return []
        except Exception as error:
            raise unreachable(self.url, error) from error
        return [info["name"].rstrip("/").rpartition("/")[2] for info in listed if info["type"] == "directory"]

    def versions(self, folder: str) -> dict[str, Version]:
        """Returns the versions of all files in `folder` and below, by name."""
        system, path = self._opened(folder)
        _, root = self._opened("")
        infos = self._patiently(folder, lambda: system.find(path, detail=True)) or {}
        prefix = f"{root.rstrip('/')}/"
        return {n.removeprefix(prefix): _version(info) for n, info in infos.items() if info["type"] == "file"}

    def version(self, name: str) -> Version | None:
        system, path = self._opened(name)
        info = self._patiently(name, lambda: system.info(path))
        return _version(info) if info is not None and info["type"] == "file" else None

    def put(self, name: str, file: Path) -> None:
        """Puts the file behind the URL as it is now."""
        system, path = self._opened(name)
        if not _is_local(system):
            self._patiently(name, lambda: system.put_file(str(file), path), must_be_there=True)
            return
        self._patiently(name, lambda: _write_locally(path, file.read_bytes()), must_be_there=True)

    def get(self, name: str, file: Path) -> bool:
        """Gets a file; returns False where there is none."""
        system, path = self._opened(name)

        def get() -> bool:
            system.get_file(path, str(file))
            return True

        return bool(self._patiently(name, get))

    def remove(self, name: str) -> None:
        system, path = self._opened(name)
        self._patiently(name, lambda: system.rm_file(path))

    def read(self, name: str) -> bytes | None:
        """Reads a file; returns None where there is none."""
        system, path = self._opened(name)
        return self._patiently(name, lambda: bytes(system.cat_file(path)))

    def write(self, name: str, data: bytes, exclusive: bool = False) -> bool:
        """Writes a file; if `exclusive` and there is one already, writes nothing and returns False."""
        system, path = self._opened(name)

        def write() -> bool:
            try:
                self._write(system, path, data, exclusive)
            except FileExistsError:
                return False
            except OSError as error:
                if exclusive and error.errno in (errno.EEXIST, errno.EBUSY):
                    return False
                raise
            return True

        return bool(self._patiently(name, write, must_be_there=True))

    def _write(self, system: Any, path: str, data: bytes, exclusive: bool = False) -> None:
        if _is_local(system):
            _write_locally(path, data, exclusive)
        else:
            system.pipe_file(path, data, **({"mode": "create"} if exclusive else {}))

    def _opened(self, name: str) -> tuple[Any, str]:
        """Opens the storage without a memory of listings, which would show what was there and not what is."""
        system, path = open_system(self.url, use_listings_cache=False)
        return system, f"{path.rstrip('/')}/{name}" if name else path

    def _patiently(self, name: str, ask: Callable[[], T], must_be_there: bool = False) -> T | None:
        """Asks again for minutes; returns None where there is no such file, unless that is an error as others are.

        Raises:
            StorageError: it fails for `PATIENCE_S`.
        """
        deadline, pause = time.monotonic() + PATIENCE_S, PAUSES_S[0]
        while True:
            try:
                return ask()
            except Exception as error:
                if isinstance(error, FileNotFoundError) and not must_be_there:
                    return None
                message = f"{self.url}/{name}: {type(error).__name__}: {first_line(error)}"
                if time.monotonic() + pause > deadline:
                    raise StorageError(f"{message}; the storage fails since {PATIENCE_S:.0f} s") from error
                logger.warning("%s; trying again in %.1f s", message, pause)
                time.sleep(pause)
                pause = min(2 * pause, PAUSES_S[1])


def _is_local(system: Any) -> bool:
    return "file" in ([system.protocol] if isinstance(system.protocol, str) else system.protocol)


def _write_locally(path: str, data: bytes, exclusive: bool = False) -> None:
    """Writes a local file as object storage does: all at once."""
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/.put.{uuid.uuid4().hex}"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            os.fsync(file.fileno())
        if exclusive:
            os.link(temporary, path)
        else:
            os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def _version(info: Mapping[str, Any]) -> Version:
    """Returns the version of a file; a local one is told by its inode too: each put makes another."""
    tag = next((info[name] for name in TAGS if info.get(name)), None)
    modified = modified_ns(info)
    return Version(f"{tag or modified} {info.get('size')} {info.get('ino', '')}".strip(), modified)
