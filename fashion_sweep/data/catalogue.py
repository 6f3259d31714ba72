"""A data set as the rest of the system sees it: records that passed the filter, and what was left out and why."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fashion_sweep.config.data_source import DataSource
from fashion_sweep.data import locations
from fashion_sweep.data.index import Index, open_index
from fashion_sweep.data.listing import Layout, Problem
from fashion_sweep.errors import DataError
from fashion_sweep.run.paths import runs_root
from fashion_sweep.storage.files import read_json, write_text

TOLERATED_SHARE = 0.1
EXAMPLES = 3
"""The number of files named for each reason to leave some out."""
OUTSIDE = "outside the aspect filter"
UNREADABLE = "unreadable or truncated"


@dataclass(frozen=True, slots=True)
class Record:
    """One captioned image, with its upright size in pixels."""

    name: str
    path: str
    """The image file, or a URL that `data/locations.py` opens."""
    caption: str
    width: int
    height: int
    digest: str = ""
    """The digest of the file's bytes, and of how they are read where that takes more than decoding."""

    @property
    def aspect_ratio(self) -> float:
        return self.width / self.height

    @property
    def identity(self) -> tuple[str | int, ...]:
        """The values that tell a changed file, or one read in another way, from the same one wherever it was copied."""
        return self.name, self.width, self.height, self.digest


@dataclass(frozen=True)
class Catalogue:
    """The records of a data set in the order of their names, so that a shuffle by seed is the same on every machine."""

    records: tuple[Record, ...]
    filtered: int
    """The number of readable images that the aspect filter dropped."""
    problems: tuple[Problem, ...]
    """The files that were left out: unreadable, without caption, caption without file."""

    @property
    def original_size(self) -> tuple[int, int]:
        """The most common (height, width): the size conditioning of generated images."""
        sizes = Counter((record.height, record.width) for record in self.records)
        return min(sizes.items(), key=lambda item: (-item[1], item[0]))[0]

    @property
    def distinct_captions(self) -> list[str]:
        """The captions once each, sorted: row i of the cache of prompt embeddings belongs to caption i."""
        return sorted({record.caption for record in self.records})

    def summary(self) -> dict[str, Any]:
        """Counts the files: all, kept, and dropped by reason."""
        dropped = Counter({OUTSIDE: self.filtered})
        dropped.update(problem.reason for problem in self.problems)
        return {
            "images": len(self.records) + self.filtered + len(self.problems),
            "kept": len(self.records),
            "dropped": {reason: count for reason, count in dropped.items() if count},
        }


def load_catalogue(
    layout: Layout, root: locations.Location, source: DataSource, index_path: Path | None = None
) -> Catalogue:
    """Reads every file's header, or the index in `index_path` where nothing changed since, and applies the filter.

    Raises:
        DataError: the folder or its index is missing or malformed, or no image is left.
    """
    location = locations.absolute(str(root))
    return catalogue_of(open_index(layout, location, index_path), layout, location, source)


def catalogue_of(index: Index, layout: Layout, root: str, source: DataSource) -> Catalogue:
    """Applies the filter to an index.

    Raises:
        DataError: no image is left.
    """
    folder = layout.images_in(root)
    problems = [*index.problems, *(Problem(row.name, UNREADABLE) for row in index.rows if not row.width)]
    readable = sum(1 for row in index.rows if row.width)
    kept = tuple(
        Record(r.name, f"{folder}/{r.name}", r.caption, r.width, r.height, r.digest)
        for r in index.rows
        if r.width and inside(r.width / r.height, source)
    )
    catalogue = Catalogue(kept, readable - len(kept), tuple(problems))
    if not kept:
        raise DataError(_why_nothing_is_left(root, catalogue, source))
    return catalogue


def write_catalogue(path: Path, catalogue: Catalogue) -> None:
    """Writes a catalogue in one line: an indented file of the study's size takes seconds.

    Images in the runs folder are rendered ones; they go by their names in there, as each node may have them elsewhere.
    """
    values, within = asdict(catalogue), f"{runs_root()}/"
    for record in values["records"]:
        record["path"] = str(record["path"]).removeprefix(within)
    write_text(path, json.dumps(values, ensure_ascii=False, default=str) + "\n")


def read_catalogue(path: Path) -> Catalogue:
    values, within = read_json(path), f"{runs_root()}/"
    for record in values["records"]:
        for name in ("bytes", "modified"):  # which earlier versions have written
            record.pop(name, None)
        if not (record["path"].startswith("/") or locations.is_url(record["path"])):
            record["path"] = within + record["path"]
    return Catalogue(
        records=tuple(Record(**record) for record in values["records"]),
        filtered=values["filtered"],
        problems=tuple(Problem(**problem) for problem in values["problems"]),
    )


def check_tolerable(catalogue: Catalogue, root: locations.Location, listed_in: Path | None = None) -> None:
    """Checks that not too many files had to be left out.

    Raises:
        DataError: more than a tenth of the files had to be left out.
    """
    total = len(catalogue.records) + catalogue.filtered + len(catalogue.problems)
    if len(catalogue.problems) > TOLERATED_SHARE * total:
        reasons = Counter(problem.reason for problem in catalogue.problems)
        counted = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        listed = f"; they are listed in {listed_in}" if listed_in else ""
        raise DataError(
            f"{root}: {len(catalogue.problems)} of {total} files cannot be used ({counted}), more than a tenth{listed}"
        )


def inside(ratio: float, source: DataSource) -> bool:
    """Returns whether the aspect filter keeps width/height of `ratio`."""
    low, high = source.min_aspect_ratio, source.max_aspect_ratio
    return (low is None or ratio >= low) and (high is None or ratio <= high)


def by_reason(problems: Iterable[Problem]) -> dict[str, list[str]]:
    """Returns the names of the files with problems, by reason."""
    files: dict[str, list[str]] = defaultdict(list)
    for problem in problems:
        files[problem.reason].append(problem.file)
    return files


def _by_name(problems: Iterable[Problem]) -> str:
    reasons = [
        f"{len(files)} {why}, for instance {', '.join(files[:EXAMPLES])}" for why, files in by_reason(problems).items()
    ]
    return f": {'; '.join(reasons)}" if reasons else ""


def _why_nothing_is_left(root: str, catalogue: Catalogue, source: DataSource) -> str:
    if not catalogue.filtered:
        return f"{root}: no usable image ({len(catalogue.problems)} files left out{_by_name(catalogue.problems)})"
    bounds = ", ".join(
        f"{key}={value}"
        for key, value in [
            ("min_aspect_ratio", source.min_aspect_ratio),
            ("max_aspect_ratio", source.max_aspect_ratio),
        ]
        if value is not None
    )
    return f"{root}: the filter {bounds} drops all {catalogue.filtered} images; set it to null to keep them"
