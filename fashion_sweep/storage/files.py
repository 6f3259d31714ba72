"""Writes facts so that a reader sees the old file or the new one, never half of one, and knows it undamaged."""

import csv
import hashlib
import io
import json
import os
import stat
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from fashion_sweep.errors import DataError, RunError
from fashion_sweep.storage import remote

CHECKSUM = "crc32"
"""The key of the checksum in a safetensors file's metadata."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary name; what was written there becomes `path` when the block ends without error.

    Where the runs folder is in object storage it is there, too, when this returns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    remote.put(path)


def private_folder(folder: Path) -> Path:
    """Makes a folder for this user alone in a place open to everybody, or checks that the one there is this user's.

    Raises:
        RunError: somebody else has taken its name.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    info = folder.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
        raise RunError(f"{folder} is not this user's, which is needed for what nobody else may touch; remove it")
    folder.chmod(0o700)
    return folder


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str] | None = None) -> None:
    """Writes tensors as safetensors, names sorted, with a checksum of all that among the metadata."""
    ordered = {name: np.asarray(tensors[name], order="C") for name in sorted(tensors)}  # a number stays of no dimension
    fields = dict(metadata or {})
    with replacing(path) as temporary:
        save_file(ordered, temporary, metadata=fields | {CHECKSUM: checksum(ordered, fields)})


def checksum(tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> str:
    """Returns a checksum of the tensors' names, types, shapes and bytes, and of the metadata but for itself."""
    fields = sorted((key, value) for key, value in metadata.items() if key != CHECKSUM)
    value = zlib.crc32(repr(fields).encode())
    for name, tensor in sorted(tensors.items()):
        value = zlib.crc32(repr((name, tensor.dtype.str, tensor.shape)).encode(), value)
        value = zlib.crc32(np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data, value)
    return f"{value:08x}"


def sqlite_address(path: Path) -> str:
    """Returns the address of a database, for MLflow and Optuna: `?` and `%` are quoted as SQLAlchemy has it."""
    from sqlalchemy.engine import URL

    address = URL.create("sqlite", database=str(path)).render_as_string()
    # MLflow makes the folder of what follows sqlite:///, quoted as it is
    return address.replace("sqlite:", "sqlite+pysqlite:", 1) if "%" in address else address


def sqlite_file(address: str) -> Path | None:
    """Returns the file of an SQLite database; None of any other address, and of one in memory."""
    if not address.startswith("sqlite"):
        return None
    from sqlalchemy.engine import make_url

    file = make_url(address).database
    return Path(file) if file and file != ":memory:" else None


def is_whole(path: Path) -> bool:
    """Returns whether a safetensors file of `write_tensors` is there, and as it was written."""
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            actual = checksum({name: file.get_tensor(name) for name in file.keys()}, metadata)  # noqa: SIM118
            return metadata.get(CHECKSUM) == actual
    except (FileNotFoundError, SafetensorError):
        return False


def remove_unfinished(folder: Path) -> None:
    """Removes what processes that were killed while writing left below `folder`, where nobody writes now."""
    for path in folder.rglob(".?*.?*"):
        if path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def shortened(name: str, longest: int, length: Callable[[str], int] = len) -> str:
    """Shortens a name to its beginning and an eight-digit hash of all of it, so that it differs where `name` does."""
    if length(name) <= longest:
        return name
    ending, beginning = f"-{hashlib.blake2b(os.fsencode(name), digest_size=4).hexdigest()}", name
    while beginning and length(beginning + ending) > longest:
        beginning = beginning[:-1]
    return beginning.rstrip("-.") + ending


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def as_csv(rows: Iterable[Iterable[Any]]) -> str:
    """Writes rows as CSV.
    Text that a spreadsheet would take for a formula gets the apostrophe that makes it text there."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, default: Any = None) -> Any:
    """Reads the value in `path`; returns `default` where there is no such file yet.

    Raises:
        DataError: the file is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return default
    except ValueError as error:
        raise _damaged(path, error) from error


def read_what_may_be_lost(path: Path) -> dict[str, Any]:
    """Reads a mapping as `read_json` does; returns an empty one where it is damaged or of another shape."""
    try:
        value = read_json(path, {})
    except DataError:
        return {}
    return value if isinstance(value, dict) else {}


def write_json_lines(path: Path, values: Iterable[Any]) -> None:
    write_text(path, "".join(json.dumps(value, allow_nan=False) + "\n" for value in values))


def read_json_lines(path: Path, say: Callable[[str], None] = lambda text: None) -> list[dict[str, Any]]:
    """Reads the object of each line; none where there is no such file yet.
    Damaged lines are left out, and `say` is told."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    objects = [value for line in lines if isinstance(value := _parsed(line), dict)]
    if damaged := len(lines) - len(objects):
        say(f"{path.name} is damaged: {damaged} of {len(lines)} lines are lost")
    return objects


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _damaged(path: Path, error: ValueError) -> DataError:
    return DataError(f"{path} is damaged: not valid JSON ({error}); restore it, or remove it to have it made again")
