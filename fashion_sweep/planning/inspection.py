"""Checks of a data set that one wants before paying for a run on it. Loads neither torch nor weights."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fashion_sweep.config.data_source import DataSource
from fashion_sweep.config.preset import Preset
from fashion_sweep.data.catalogue import EXAMPLES, Catalogue, by_reason, catalogue_of, inside
from fashion_sweep.data.index import Index, open_index
from fashion_sweep.data.listing import Problem
from fashion_sweep.data.sets import render_if_needed
from fashion_sweep.data.split import split
from fashion_sweep.doors import LAYOUTS
from fashion_sweep.errors import ConfigError, did_you_mean
from fashion_sweep.models.architecture import TokenLengths
from fashion_sweep.models.registry import architecture_of
from fashion_sweep.run.paths import data_findings, data_index
from fashion_sweep.storage.files import read_json, write_json

COMMON_SIZES = 5
DUPLICATES_SHOWN = 5


@dataclass(frozen=True)
class Spread:
    minimum: float
    median: float
    maximum: float

    @classmethod
    def of(cls, values: Iterable[float]) -> "Spread":
        array = np.fromiter(values, np.float64)
        return cls(float(array.min()), float(np.median(array)), float(array.max()))


@dataclass(frozen=True)
class CommonSize:
    width: int
    height: int
    images: int
    kept: bool


@dataclass(frozen=True)
class DataCheck:
    """The findings on one data set: on sizes of all readable images, on captions and splits of those kept."""

    name: str
    root: str
    images: int
    kept: int
    dropped: dict[str, int]
    """The number of images dropped, by reason."""
    problem_files: list[str]
    """Some of the files that have a problem, each with its reason."""
    filter: dict[str, float]
    bytes: int
    sizes: dict[str, Spread]
    """The spread of `width`, `height`, `aspect_ratio` and `kilobytes`."""
    distinct_sizes: int
    common_sizes: list[CommonSize]
    captions: int
    distinct_captions: int
    most_repeated_caption: tuple[str, int]
    tokens: list[TokenLengths]
    """The lengths of captions for each tokenizer of the base model; for those it is known to have if none is here."""
    duplicate_files: int
    """The number of files whose content another file has, too: how many more there are than contents."""
    duplicate_examples: list[list[str]]
    training: int | None
    validation: int | None
    judged: int
    headers_read: int
    """The number of images whose headers were read now; the others were known from an earlier time."""


def configured(preset: Preset, names: Sequence[str] = ()) -> list[str]:
    """Returns the data sets of these names; without any, the one trained on, and all with a folder or rendered.

    Raises:
        ConfigError: the preset has no data set of that name.
    """
    if unknown := [name for name in names if name not in preset.data]:
        raise ConfigError(f"there is no data set {unknown[0]!r}{did_you_mean(unknown[0], preset.data)}")
    at_hand = [
        name for name, source in preset.data.items() if (source.root or source.rendered_images) and not source.same_as
    ]
    return list(dict.fromkeys(names or [preset.training_set, *at_hand]))


def check_data(name: str, preset: Preset) -> tuple[DataCheck, Catalogue]:
    """Checks a data set of the preset; returns the findings, and the catalogue of its images.

    Raises:
        ConfigError: the data's place is not given.
        DataError: it is missing or malformed, or nothing is left of it.
    """
    source = preset.data[name]
    root = render_if_needed(name, source)
    layout = LAYOUTS[source.layout]
    index = open_index(layout, root, data_index(name, root))
    catalogue = catalogue_of(index, layout, root, source)
    counts = Counter(record.caption for record in catalogue.records)
    is_trained_on, training = name == preset.training_set, preset.training
    parts = split(catalogue, training.validation_fraction, training.seed) if is_trained_on else None
    duplicates = _equal_files(index)
    summary = catalogue.summary()
    check = DataCheck(
        name=name,
        root=root,
        images=summary["images"],
        kept=summary["kept"],
        dropped=summary["dropped"],
        problem_files=_examples(catalogue.problems),
        filter=_bounds(source),
        bytes=sum(row.bytes for row in index.rows),
        captions=index.captions,
        distinct_captions=len(counts),
        most_repeated_caption=counts.most_common(1)[0],
        tokens=_token_lengths(name, root, index, counts, preset),
        duplicate_files=sum(len(group) - 1 for group in duplicates),
        duplicate_examples=duplicates[:DUPLICATES_SHOWN],
        training=len(parts[0]) if parts else None,
        validation=len(parts[1]) if parts else None,
        judged=min(preset.evaluation.samples, summary["kept"]),
        headers_read=index.opened,
        **_sizes(index, source),
    )
    return check, catalogue


def _examples(problems: Sequence[Problem]) -> list[str]:
    """Returns some problem files of each kind, with the reason."""
    return [f"{file}: {reason}" for reason, files in by_reason(problems).items() for file in files[:EXAMPLES]]


def _sizes(index: Index, source: DataSource) -> dict[str, Any]:
    readable = [row for row in index.rows if row.width]
    counted = Counter((row.width, row.height) for row in readable)
    return {
        "sizes": {
            "width": Spread.of(row.width for row in readable),
            "height": Spread.of(row.height for row in readable),
            "aspect_ratio": Spread.of(row.width / row.height for row in readable),
            "kilobytes": Spread.of(row.bytes / 1000 for row in readable),
        },
        "distinct_sizes": len(counted),
        "common_sizes": [
            CommonSize(width, height, images, inside(width / height, source))
            for (width, height), images in counted.most_common(COMMON_SIZES)
        ],
    }


def _token_lengths(name: str, root: str, index: Index, counts: Counter[str], preset: Preset) -> list[TokenLengths]:
    """Returns the lengths of captions in tokens, which are kept on disk, since they take seconds."""
    path = data_findings(name, root)
    findings = read_json(path, {})
    findings = findings if index.key and findings.get("index") == index.key else {"index": index.key, "tokens": {}}
    architecture, base = architecture_of(preset.model), preset.model.base
    key = f"{architecture.tokenizer_fingerprints(base)} {_bounds(preset.data[name])}"
    if key not in findings["tokens"]:
        findings["tokens"][key] = [asdict(lengths) for lengths in architecture.caption_lengths(base, counts)]
        write_json(path, findings)
    return [TokenLengths(**lengths) for lengths in findings["tokens"][key]]


def _equal_files(index: Index) -> list[list[str]]:
    """Returns the names of files with the same bytes, in groups."""
    by_content: dict[str, list[str]] = defaultdict(list)
    for row in index.rows:
        by_content[row.digest].append(row.name)
    return sorted(names for names in by_content.values() if len(names) > 1)


def _bounds(source: DataSource) -> dict[str, float]:
    bounds = {"min_aspect_ratio": source.min_aspect_ratio, "max_aspect_ratio": source.max_aspect_ratio}
    return {name: value for name, value in bounds.items() if value is not None}
