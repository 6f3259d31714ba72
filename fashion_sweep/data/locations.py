"""Locations of data: a folder of this file system, or a URL that fsspec knows (`s3://bucket/folder`, `memory://…`).

A location is text: a path, or the URL of a file. fsspec is imported for URLs alone.
"""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fashion_sweep.storage.urls import Location, is_url, modified_ns, open_system, unreachable


@dataclass(frozen=True, slots=True)
class FolderEntry:
    """A file as its folder lists it."""

    bytes: int
    modified: int
    """The time of the last change in nanoseconds since 1970; 0 where the storage does not tell."""


def absolute(root: str) -> str:
    """Returns a local folder as an absolute path; a URL as it is. `~who` of nobody is a folder of that name."""
    return root.rstrip("/") if is_url(root) else str(Path(os.path.expanduser(root)).resolve())


def join(folder: Location, *names: str) -> str:
    return "/".join([os.fspath(folder).rstrip("/"), *names])


def is_folder(location: Location) -> bool:
    """Returns whether a location is a folder.

    Raises:
        DataError: the storage cannot be reached.
    """
    if not is_url(location):
        return os.path.isdir(location)
    system, path = open_system(os.fspath(location))
    return bool(_asked(location, system.isdir, path))


def entry(location: Location) -> FolderEntry | None:
    """Returns the entry of one file; None where there is none.

    Raises:
        DataError: the storage cannot be reached.
    """
    try:
        if is_url(location):
            system, path = open_system(os.fspath(location))
            return _of(system.info(path))
        stat = os.stat(location)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:
        raise unreachable(location, error) from error
    return FolderEntry(stat.st_size, stat.st_mtime_ns)


def files(folder: Location) -> dict[str, FolderEntry]:
    """Returns the files of a folder by name, but for those that begin with a dot.

    Systems keep notes of their own in these, macOS one beside each image.

    Raises:
        DataError: the storage cannot be reached.
    """
    if not is_url(folder):
        with os.scandir(folder) as entries:
            return {e.name: _of_stat(e) for e in entries if not e.name.startswith(".") and _is_file(e)}
    system, path = open_system(os.fspath(folder))
    listed = _asked(folder, system.ls, path, True)
    by_name = {info["name"].rstrip("/").rpartition("/")[2]: _of(info) for info in listed if info["type"] == "file"}
    return {name: entry for name, entry in by_name.items() if not name.startswith(".")}


def tree(root: Location) -> dict[str, FolderEntry]:
    """Returns the files of a folder and of those in it, by their paths from there.

    As in `files`, what begins with a dot is left out, and so are folders that are links.

    Raises:
        DataError: the storage cannot be reached.
    """
    if not is_url(root):
        entries: dict[str, FolderEntry] = {}
        for folder, inner, _ in os.walk(root):
            inner[:] = [name for name in inner if not name.startswith(".")]
            within = os.path.relpath(folder, root)
            entries |= {name if within == "." else f"{within}/{name}": one for name, one in files(folder).items()}
        return entries
    system, path = open_system(os.fspath(root))
    listed = _asked(root, partial(system.find, detail=True), path)
    start = len(path.rstrip("/")) + 1
    names = {info["name"][start:]: _of(info) for info in listed.values()}
    return {name: one for name, one in names.items() if not any(part.startswith(".") for part in name.split("/"))}


def open_binary(location: Location) -> io.BufferedReader | io.BytesIO:
    """Opens a file to read and seek in; one behind a URL is fetched whole, in one request.

    Raises:
        OSError: it cannot be read.
    """
    if not is_url(location):
        return open(location, "rb")
    return io.BytesIO(_fetched(os.fspath(location)))


def _fetched(url: str) -> bytes:
    system, path = open_system(url)
    try:
        return bytes(system.cat_file(path))
    except OSError:
        raise
    except Exception as error:  # each storage has errors of its own
        raise OSError(f"{url}: {type(error).__name__}: {error}") from error


def _asked(location: Location, question: Any, *arguments: Any) -> Any:
    try:
        return question(*arguments)
    except Exception as error:
        raise unreachable(location, error) from error


def leads_out(folder: str, name: str, is_root: bool) -> bool:
    """Returns whether a file of a local folder of images is a link to one outside of the data set's root.
    The root is the folder itself, or the one that it lies in."""
    path = join(folder, name)
    if is_url(folder) or not os.path.islink(path):
        return False
    root = Path(folder).resolve()
    return not Path(path).resolve().is_relative_to(root if is_root else root.parent)


def _is_file(item: os.DirEntry[str]) -> bool:
    """Returns whether an item is a file: no device or pipe, which may never end, and no link that leads in a circle."""
    try:
        return item.is_file()
    except OSError:
        return False


def _of_stat(item: os.DirEntry[str]) -> FolderEntry:
    stat = item.stat()
    return FolderEntry(stat.st_size, stat.st_mtime_ns)


def _of(info: Mapping[str, Any]) -> FolderEntry:
    return FolderEntry(int(info.get("size") or 0), modified_ns(info))
