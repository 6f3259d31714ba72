"""A data set as the rest of the system sees it: records that passed the filter, and what was left out and why."""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeGuard

from PIL import Image

from fashion_sweep.config import DataSource
from fashion_sweep.data.images import read_size
from fashion_sweep.errors import DataError
from fashion_sweep.files import read_json, write_json

TOLERATED_SHARE = 0.1
HEADER_THREADS = 16


@dataclass(frozen=True)
class Record:
    """One captioned image. Size in pixels, upright."""

    name: str
    path: Path
    caption: str
    width: int
    height: int

    @property
    def aspect_ratio(self) -> float:
        return self.width / self.height


@dataclass(frozen=True)
class Problem:
    file: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """What a data set's own index says, before any image is opened: path and caption by name."""

    images: Mapping[str, tuple[Path, str]]
    problems: list[Problem]


@dataclass(frozen=True)
class Catalogue:
    """Records in the order of their names, so that a shuffle by seed is the same on every machine."""

    records: tuple[Record, ...]
    filtered: int
    """Readable images that the aspect filter dropped."""
    problems: tuple[Problem, ...]
    """Files left out: unreadable, without caption, caption without file."""

    @property
    def original_size(self) -> tuple[int, int]:
        """The most common (height, width): the size conditioning of generated images."""
        sizes = Counter((record.height, record.width) for record in self.records)
        return min(sizes.items(), key=lambda item: (-item[1], item[0]))[0]

    @property
    def distinct_captions(self) -> list[str]:
        """Sorted: row i of the cache of prompt embeddings belongs to caption i."""
        return sorted({record.caption for record in self.records})

    def summary(self) -> dict[str, Any]:
        """Counts of files: all, kept, and dropped by reason."""
        dropped = Counter({"outside the aspect filter": self.filtered})
        dropped.update(problem.reason for problem in self.problems)
        return {
            "images": len(self.records) + self.filtered + len(self.problems),
            "kept": len(self.records),
            "dropped": {reason: count for reason, count in dropped.items() if count},
        }


def load_catalogue(read: Callable[[Path], Listing], root: Path, source: DataSource) -> Catalogue:
    """Opens every file's header and applies the filter.

    Raises:
        DataError: the folder or its index is missing or malformed, or no image is left.
    """
    if not root.is_dir():
        raise DataError(f"data folder {root} does not exist")
    listing = read(root)
    names = sorted(listing.images)
    with ThreadPoolExecutor(HEADER_THREADS) as pool:
        opened = list(pool.map(lambda name: _open(name, *listing.images[name]), names))
    readable = [item for item in opened if isinstance(item, Record)]
    problems = [*listing.problems, *(item for item in opened if isinstance(item, Problem))]
    kept = [record for record in readable if _inside(record.aspect_ratio, source)]
    catalogue = Catalogue(tuple(kept), len(readable) - len(kept), tuple(problems))
    if not kept:
        raise DataError(_why_nothing_is_left(root, catalogue, source))
    return catalogue


def read_index(path: Path) -> Any:
    """The JSON of a data set's index.

    Raises:
        DataError: it is missing or malformed.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; captions are expected there") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error})") from error


def is_caption(value: object) -> TypeGuard[str]:
    """Text, not empty, that can be written as UTF-8: JSON may hold halves of characters."""
    return isinstance(value, str) and bool(value.strip()) and not re.search("[\ud800-\udfff]", value)


def write_catalogue(path: Path, catalogue: Catalogue) -> None:
    write_json(path, asdict(catalogue) | {"records": [asdict(r) | {"path": str(r.path)} for r in catalogue.records]})


def read_catalogue(path: Path) -> Catalogue:
    values = read_json(path)
    return Catalogue(
        records=tuple(Record(**{**record, "path": Path(record["path"])}) for record in values["records"]),
        filtered=values["filtered"],
        problems=tuple(Problem(**problem) for problem in values["problems"]),
    )


def check_tolerable(catalogue: Catalogue, root: Path, listed_in: Path) -> None:
    """Raises:
    DataError: more than a tenth of the files had to be left out.
    """
    total = len(catalogue.records) + catalogue.filtered + len(catalogue.problems)
    if len(catalogue.problems) > TOLERATED_SHARE * total:
        reasons = Counter(problem.reason for problem in catalogue.problems)
        counted = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        raise DataError(
            f"{root}: {len(catalogue.problems)} of {total} files cannot be used ({counted}), "
            f"more than a tenth; they are listed in {listed_in}"
        )


def _open(name: str, path: Path, caption: str) -> Record | Problem:
    try:
        width, height = read_size(path)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # SyntaxError: some broken PNG files
        return Problem(name, "unreadable or truncated")
    return Record(name, path, caption, width, height)


def _inside(ratio: float, source: DataSource) -> bool:
    low, high = source.min_aspect_ratio, source.max_aspect_ratio
    return (low is None or ratio >= low) and (high is None or ratio <= high)


def _why_nothing_is_left(root: Path, catalogue: Catalogue, source: DataSource) -> str:
    if not catalogue.filtered:
        return f"{root}: no usable image ({len(catalogue.problems)} files left out)"
    bounds = ", ".join(
        f"{key}={value}"
        for key, value in [
            ("min_aspect_ratio", source.min_aspect_ratio),
            ("max_aspect_ratio", source.max_aspect_ratio),
        ]
        if value is not None
    )
    return f"{root}: the filter {bounds} drops all {catalogue.filtered} images; set it to null to keep them"
