"""The index of a data set's files: captions and image headers, kept in the cache.

The index rests on the listing of the data set's folders: name, size and time of change of each file. Where
these are as they were, no file is opened; where some changed, only those are. What a file holds is told by its digest:
a time only says that it is to be looked at again.
"""

import hashlib
import json
from dataclasses import astuple, dataclass, replace
from functools import partial
from pathlib import Path

from fashion_sweep.data import locations
from fashion_sweep.data.images import READER, UNDECODABLE, Header, OtherPixels, read_header
from fashion_sweep.data.listing import Files, Layout, Problem
from fashion_sweep.data.many import over_files
from fashion_sweep.errors import CONTROL, shown
from fashion_sweep.storage.files import replacing

FORMAT = 3
"""The version of the index, counted up when the same files would be understood in another way."""
NOT_OPENED = "cannot be opened"
"""The reason for a file that cannot be opened now, but perhaps the next time: one behind a URL may be late."""
LEADS_OUT = "link out of the data folder"
MISNAMED = "control characters in its name"


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One captioned image file; width and height are 0 where it cannot be read."""

    name: str
    caption: str
    bytes: int
    modified: int
    width: int
    height: int
    digest: str
    """The digest of the file's bytes, and of how they are read where that takes more than decoding."""


@dataclass(frozen=True)
class Index:
    key: str
    """The digest of the listing that the index rests on; empty where a file could not be opened."""
    captions: int
    """The number of captions that the caption files hold."""
    problems: tuple[Problem, ...]
    """The problems of the caption files and the listing; unreadable images are rows."""
    rows: tuple[IndexRow, ...]
    """The rows of the image files, in the order of their names."""
    opened: int = 0
    """The number of files that had to be read for the index."""


def open_index(layout: Layout, root: str, path: Path | None = None) -> Index:
    """Returns the index of the data set in `root`, brought up to date in `path`.

    Raises:
        DataError: the folder or its captions are missing or malformed.
    """
    files = layout.find(root)
    key = _key(files)
    stored = read(path) if path else None
    if stored and stored.key == key:
        return stored
    listing = layout.read(root, files)
    earlier = {row.name: row for row in stored.rows} if stored else {}
    rows: list[IndexRow | None] = []
    todo: list[tuple[int, str]] = []
    for name in sorted(listing.images):
        caption, entry, row = listing.images[name], files.images[name], earlier.get(name)
        if row and (row.bytes, row.modified) == (entry.bytes, entry.modified):
            rows.append(replace(row, caption=caption))
        else:
            todo.append((len(rows), name))
            rows.append(None)
    looks = over_files(partial(_look, layout.images_in(root), not layout.folder), [name for _, name in todo])
    problems = [Problem(shown(problem.file), problem.reason) for problem in listing.problems]
    for (place, name), look in zip(todo, looks, strict=True):
        if isinstance(look, str):
            problems.append(Problem(shown(name), look))
            key = "" if look == NOT_OPENED else key  # so that it is tried again
        else:
            entry = files.images[name]
            rows[place] = IndexRow(name, listing.images[name], entry.bytes, entry.modified, *look)
    index = Index(key, listing.captions, tuple(problems), tuple(filter(None, rows)), len(todo))
    if path:
        write(path, index)
    return index


def read(path: Path) -> Index | None:
    """Reads an index; returns None where there is none, or none that can be used: it is made again."""
    try:
        with path.open(encoding="utf-8") as lines:
            head = json.loads(next(lines))
            if head["format"] != [FORMAT, READER]:
                return None
            problems = tuple(Problem(*problem) for problem in head["problems"])
            rows = tuple(IndexRow(*json.loads(line)) for line in lines)
    except (FileNotFoundError, StopIteration, ValueError, KeyError, TypeError):
        return None
    return Index(head["key"], head["captions"], problems, rows) if len(rows) == head["rows"] else None


def write(path: Path, index: Index) -> None:
    """Writes an index with one row a line, so that neither writing nor reading holds the whole text."""
    problems = [astuple(problem) for problem in index.problems]
    head = {"format": [FORMAT, READER], "key": index.key, "captions": index.captions, "problems": problems}
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(head | {"rows": len(index.rows)}) + "\n")
        for row in index.rows:
            file.write(json.dumps(astuple(row)) + "\n")


def _key(files: Files) -> str:
    captions = sorted(files.captions.items())
    digest = hashlib.blake2b(repr((FORMAT, READER, captions, sorted(files.others))).encode(), digest_size=16)
    for name, entry in sorted(files.images.items()):
        digest.update(f"{name}\0{entry.bytes}\0{entry.modified}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _look(folder: str, is_root: bool, name: str) -> tuple[int, int, str] | str:
    """Returns upright width, height and digest of an image file; sizes are zeros of what is no whole image.
    Otherwise returns why the file is not opened, or why its pixels cannot be used."""
    if CONTROL.search(name):
        return MISNAMED
    if locations.leads_out(folder, name, is_root):
        return LEADS_OUT
    try:
        with locations.open_binary(locations.join(folder, name)) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()  # the fastest, where it is in silicon
            file.seek(0)
            try:
                header = read_header(file)
            except OtherPixels as error:
                return str(error)
            except UNDECODABLE:
                header = Header(0, 0)
            return header.width, header.height, f"{digest}+{header.reader}" if header.reader else digest
    except OSError:
        return NOT_OPENED
