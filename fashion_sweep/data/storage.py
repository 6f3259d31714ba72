"""Where data lies: a folder of this file system, or a URL that fsspec knows (`s3://bucket/folder`, `memory://…`).

A location is text: a path, or the URL of a file. fsspec is imported for URLs alone.
"""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from fashion_sweep.errors import DataError

Location = str | os.PathLike[str]
MODIFIED = ("mtime", "modified", "last_modified", "LastModified", "updated", "created")
"""What file systems of fsspec call the time of the last change."""
END_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as its folder lists it."""

    bytes: int
    modified: int
    """Nanoseconds since 1970; 0 where the storage does not tell."""


def is_url(location: Location) -> bool:
    return "://" in os.fspath(location)


def absolute(root: str) -> str:
    """A local folder as an absolute path; a URL as it is."""
    return root.rstrip("/") if is_url(root) else str(Path(root).expanduser().resolve())


def join(folder: Location, *names: str) -> str:
    return "/".join([os.fspath(folder).rstrip("/"), *names])


def is_folder(location: Location) -> bool:
    """Raises DataError: the storage cannot be reached."""
    if not is_url(location):
        return os.path.isdir(location)
    system, path = _system(os.fspath(location))
    return bool(_asked(location, system.isdir, path))


def entry(location: Location) -> Entry | None:
    """Of one file; None where there is none.

    Raises:
        DataError: the storage cannot be reached.
    """
    try:
        if is_url(location):
            system, path = _system(os.fspath(location))
            return _of(system.info(path))
        stat = os.stat(location)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:
        raise _unreachable(location, error) from error
    return Entry(stat.st_size, stat.st_mtime_ns)


def files(folder: Location) -> dict[str, Entry]:
    """The files of a folder by name.

    Raises:
        DataError: the storage cannot be reached.
    """
    if not is_url(folder):
        with os.scandir(folder) as entries:
            return {e.name: _of_stat(e) for e in entries if _is_file(e)}
    system, path = _system(os.fspath(folder))
    listed = _asked(folder, system.ls, path, True)
    return {info["name"].rstrip("/").rpartition("/")[2]: _of(info) for info in listed if info["type"] == "file"}


def open_binary(location: Location) -> IO[bytes]:
    """A file to read and seek in; one behind a URL is fetched whole, in one request.

    Raises:
        OSError: it cannot be read.
    """
    if not is_url(location):
        return open(location, "rb")
    return io.BytesIO(_fetched(os.fspath(location)))


def read_end(location: str, count: int = END_BYTES) -> bytes:
    """The last `count` bytes of a file, or all of a shorter one.

    Raises:
        OSError: it cannot be read.
    """
    if is_url(location):
        return _fetched(location, start=-count)
    with open(location, "rb") as file:
        file.seek(-min(count, os.fstat(file.fileno()).st_size), os.SEEK_END)
        return file.read()


def _fetched(url: str, **part: int) -> bytes:
    system, path = _system(url)
    try:
        return bytes(system.cat_file(path, **part))
    except OSError:
        raise
    except Exception as error:  # each storage has errors of its own
        raise OSError(f"{url}: {type(error).__name__}: {error}") from error


def _system(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ImportError, ValueError) as error:  # an unknown scheme, or one whose package is not installed
        raise DataError(f"{url}: {' '.join(str(error).split())}") from error
    except Exception as error:
        raise _unreachable(url, error) from error
    return system, path


def _asked(location: Location, question: Any, *arguments: Any) -> Any:
    try:
        return question(*arguments)
    except Exception as error:
        raise _unreachable(location, error) from error


def _unreachable(location: Location, error: Exception) -> DataError:
    return DataError(f"{os.fspath(location)}: cannot be read ({type(error).__name__}: {' '.join(str(error).split())})")


def leads_out(folder: str, name: str) -> bool:
    """Whether a file of a local folder is a link to one outside of the folder that this lies in."""
    path = join(folder, name)
    if is_url(folder) or not os.path.islink(path):
        return False
    return not Path(path).resolve().is_relative_to(Path(folder).resolve().parent)


def _is_file(found: os.DirEntry[str]) -> bool:
    """No device or pipe, which may never end; no link that leads round in a circle."""
    try:
        return found.is_file()
    except OSError:
        return False


def _of_stat(found: os.DirEntry[str]) -> Entry:
    stat = found.stat()
    return Entry(stat.st_size, stat.st_mtime_ns)


def _of(info: Mapping[str, Any]) -> Entry:
    times = [info[name] for name in MODIFIED if info.get(name) is not None]
    return Entry(int(info.get("size") or 0), _nanoseconds(times[0]) if times else 0)


def _nanoseconds(time: Any) -> int:
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    seconds = time.timestamp() if isinstance(time, datetime) else float(time)
    return round(seconds * 1e6) * 1000  # floats of today's seconds hold no more than microseconds
