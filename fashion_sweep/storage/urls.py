"""File systems behind URLs that fsspec knows (`s3://bucket/folder`, `memory://…`): opened and spoken of in one way."""

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fashion_sweep.errors import DataError

Location = str | os.PathLike[str]
MODIFIED = ("mtime", "modified", "last_modified", "LastModified", "updated", "created")
"""The names that file systems of fsspec have for the time of the last change."""


def is_url(location: Location) -> bool:
    return "://" in os.fspath(location)


def open_system(url: str, **options: Any) -> tuple[Any, str]:
    """Opens the file system of fsspec behind a URL; returns it, and the path in it.

    Raises:
        DataError: an unknown scheme, one whose package is not installed, or one that cannot be opened.
    """
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        raise DataError(f"{url}: {' '.join(str(error).split())}{_how_to_install(url)}") from error
    except ValueError as error:
        raise DataError(f"{url}: {' '.join(str(error).split())}") from error
    except Exception as error:
        raise unreachable(url, error) from error
    return system, path


def _how_to_install(url: str) -> str:
    package = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}.get(
        url.partition("://")[0]
    )
    return f"; python -m pip install {package}" if package else ""


def unreachable(location: Location, error: Exception, what: str = "read") -> DataError:
    """Returns a storage's error as a DataError of one line; each storage has errors of its own."""
    return DataError(
        f"{os.fspath(location)}: cannot be {what} ({type(error).__name__}: {' '.join(str(error).split())})"
    )


def modified_ns(info: Mapping[str, Any]) -> int:
    """Returns the time of a file's last change in nanoseconds since 1970; 0 where the storage does not tell."""
    times = [info[name] for name in MODIFIED if info.get(name) is not None]
    return _nanoseconds(times[0]) if times else 0


def _nanoseconds(time: Any) -> int:
    if isinstance(time, str):
        time = datetime.fromisoformat(time)
    seconds = time.timestamp() if isinstance(time, datetime) else float(time)
    return round(seconds * 1e6) * 1000  # floats of today's seconds hold no more than microseconds
