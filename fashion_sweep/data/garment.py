"""Photos of garments, one each, as a data set: their records, and what cannot be read."""

import codecs
import csv
import hashlib
import io
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from PIL import UnidentifiedImageError
from pydantic import ValidationError

from fashion_sweep.config.sweep import LONGEST_NAME, Garment
from fashion_sweep.data import locations
from fashion_sweep.data.catalogue import UNREADABLE, Catalogue, Record
from fashion_sweep.data.images import UNDECODABLE, OtherPixels, load_rgb, read_header
from fashion_sweep.data.listing import NOT_READ, Problem, is_other_picture, is_picture
from fashion_sweep.data.sets import WORLD_SEED
from fashion_sweep.errors import CREDENTIALS, ConfigError, DataError
from fashion_sweep.run.paths import cache_root
from fashion_sweep.storage.files import replacing, shortened

COLUMNS = ("photo", "kind", "attribute", "name")
"""The columns of a CSV file; the last two may be missing or empty."""
SEPARATORS = ",;\t|"
"""The separators of cells, as spreadsheets write them in one country or another."""
TABLES = (".csv", ".tsv")
EMBEDDED = "embedded:"
WRITTEN = {
    "name": "names have up to 60 letters, digits, '_', '-' and '.', without spaces",
    "kind": "words are wanted, up to 60 characters without punctuation",
    "attribute": "words are wanted, up to 60 characters without punctuation",
}
"""The rules for writing each field of a garment, as error messages give them."""
TOO_LATE = "could not be read when the run began; train it in a run of its own"
NO_IMAGE = "is no image"
NOWHERE = "there is no such file"


def read_garments(
    sources: Sequence[str],
    kind: str | None,
    attribute: str,
    name: str | None,
    say: Callable[[str], None] = lambda text: None,
) -> list[Garment]:
    """Reads the garments that a user names.

    Args:
        sources: photos, folders of photos, CSV files that name photos, beside them or absolute; and `embedded:N`.
        kind, attribute: of each that no CSV file tells of.
        name: of a single garment; else each is called as its file.
        say: is told of pictures that are left out.

    Raises:
        ConfigError: a source is nothing of these, or something is missing.
    """
    _check_addresses(sources)
    rows = [one for source in sources for one in _of_source(source, kind, attribute, say)]
    if name is not None:
        if len(rows) != 1:
            raise ConfigError(f"--name {name}: is for one photo, not for {len(rows)}; a CSV file names each")
        rows = [rows[0] | {"name": name}]
    names = [one["name"].casefold() for one in rows]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"two garments are called {repeated!r}; a CSV file with the column name tells them apart")
    _check_addresses([one["photo"] for one in rows])
    try:
        return [Garment.model_validate(one | {"digest": _digest(one["photo"])}) for one in rows]
    except ValidationError as error:
        field, value = error.errors()[0]["loc"][0], error.errors()[0]["input"]
        raise ConfigError(f"garment {field}: {value!r}: {WRITTEN.get(str(field), error.errors()[0]['msg'])}") from error


def _of_source(source: str, kind: str | None, attribute: str, say: Callable[[str], None]) -> list[dict[str, str]]:
    if source.startswith(EMBEDDED):
        return _of_csv(_rendered(source), kind, attribute)
    if source.lower().endswith(TABLES):
        return _of_csv(source, kind, attribute)
    photos = [source]
    if locations.is_folder(source):
        names = sorted(locations.files(source))
        photos = [locations.join(source, name) for name in names if is_picture(name)]
        others = ", ".join(name for name in names if is_other_picture(name))
        if not photos:
            raise ConfigError(f"{source}: holds no photo" + (f", only {others}: {NOT_READ}" if others else ""))
        if others:
            say(f"{source}: left out {others}: {NOT_READ}")
    if kind is None:
        raise ConfigError("--kind: say what the garment is, for instance --kind sweater")
    return [{"photo": one, "kind": kind, "attribute": attribute, "name": _name(one)} for one in photos]


def _rendered(source: str) -> str:
    """Returns the list of so many garments of the embedded world, which is made at first."""
    from fashion_sweep.tiny.wardrobe import TOPS
    from fashion_sweep.tiny.world import GARMENTS, write_garments

    count = source.removeprefix(EMBEDDED)
    if not count.isdecimal() or not 1 <= int(count) <= TOPS:
        raise ConfigError(f"{source}: say how many garments of the embedded world, 1 to {TOPS}, as in {EMBEDDED}6")
    folder = cache_root() / f"world-garments-{int(count)}-seed{WORLD_SEED}"
    write_garments(folder, int(count), WORLD_SEED)
    return str(folder / GARMENTS)


def _of_csv(source: str, kind: str | None, attribute: str) -> list[dict[str, str]]:
    rows = []
    for number, row in _rows(source):
        if not row.get("photo") or not (row.get("kind") or kind):
            raise ConfigError(f"{source}: line {number} tells no {'kind' if row.get('photo') else 'photo'}")
        photo = row["photo"] if locations.is_url(row["photo"]) else os.path.join(os.path.dirname(source), row["photo"])
        cells = {key: value for key, value in row.items() if value}
        rows.append({"kind": kind or "", "attribute": attribute, "name": _name(photo)} | cells | {"photo": photo})
    return rows


def _rows(source: str) -> list[tuple[int, dict[str, str]]]:
    """Returns number and cells, by column, of each line of a CSV file.
    What is empty is left out: spreadsheets write it."""
    try:
        with locations.open_binary(source) as file:
            content = file.read()
        utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(text), strict=True)
        lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except UnicodeDecodeError as error:
        raise ConfigError(f"{source}: cannot be read ({error}); save it as CSV in UTF-8") from error
    except (OSError, csv.Error) as error:
        raise ConfigError(f"{source}: cannot be read ({error})") from error
    (_, header), *lines = [(number, cells) for number, cells in lines if any(cells)] or [(1, [])]
    columns = [cell.casefold() for cell in header]
    if mistake := _mistake([column for column in columns if column], lines):
        raise ConfigError(
            f"{source}: {mistake}; it has a line with {', '.join(COLUMNS)}, and below it a line a garment, with "
            "commas, semicolons or tabs between the cells"
        )
    for number, cells in lines:
        if more := [cell for column, cell in zip_longest(columns, cells, fillvalue="") if cell and not column]:
            raise ConfigError(f"{source}: line {number} has more cells than the first line names: {more[0]!r}")
    return [(number, dict(zip(columns, cells, strict=False))) for number, cells in lines]


def _mistake(columns: Sequence[str], lines: Sequence[object]) -> str:
    if "photo" not in columns:
        return "no column photo"
    if unknown := sorted({*columns} - {*COLUMNS}):
        return f"unknown column {unknown[0]!r}"
    if repeated := next((column for column in columns if columns.count(column) > 1), ""):
        return f"two columns {repeated!r}"
    return "" if lines else "no line below the first"


def _separator(text: str) -> str:
    """Returns the separator of the cells: the one that gives the first line a column photo."""
    first = next((line for line in text.splitlines() if line.strip(f"{SEPARATORS} ")), "")
    for separator in SEPARATORS:
        if "photo" in (cell.strip().casefold() for cell in next(csv.reader([first], delimiter=separator), [])):
            return separator
    return SEPARATORS[0]


def _check_addresses(locations: Iterable[str]) -> None:
    if any(CREDENTIALS.search(one) for one in locations):
        raise ConfigError("a photo's address holds a password; leave it out: credentials belong in the environment")


def _digest(photo: str) -> str:
    """Returns the digest by which a photo that was replaced is known to be another one."""
    try:
        with locations.open_binary(photo) as file:
            return hashlib.blake2b(file.read(), digest_size=16).hexdigest()
    except (OSError, DataError):
        return ""


def _name(photo: str) -> str:
    """Returns the name of a photo's file, as a folder may be called."""
    name = re.sub(r"[^\w.-]+", "-", Path(photo).stem).strip("-.") or "garment"
    return shortened(name, LONGEST_NAME)


def garment_catalogue(garments: Sequence[Garment], captions: Sequence[str], kept: Path) -> Catalogue:
    """Makes a record of each garment, called by its name.

    The photo that the run has kept comes before the one that was given, which may be gone when the run goes on.

    Args:
        garments: in any order.
        captions: of their photos.
        kept: the run's own folder for photos.

    Raises:
        DataError: no photo can be read.
    """
    records, problems, began = [], [], any(kept.glob("*.png"))
    for garment, caption in sorted(zip(garments, captions, strict=True), key=lambda pair: pair[0].name):
        copy = photo_of(kept, garment.name)
        location = str(copy) if copy.is_file() else locations.absolute(garment.photo)
        try:
            with locations.open_binary(location) as file:
                header = read_header(file)
            if not copy.is_file():
                load_rgb(location)  # a header says nothing of what follows
        except FileNotFoundError:
            problems.append(Problem(garment.name, f"{garment.photo}: {NOWHERE}"))
        except UnidentifiedImageError:
            problems.append(
                Problem(garment.name, f"{garment.photo}: {NOT_READ if is_other_picture(garment.photo) else NO_IMAGE}")
            )
        except OtherPixels as error:
            problems.append(Problem(garment.name, f"{garment.photo}: {error}"))
        except (*UNDECODABLE, DataError) as error:
            problems.append(Problem(garment.name, f"{garment.photo}: {UNREADABLE} ({error})"))
        else:
            if began and not copy.is_file():  # its cache is made for the photos that there were
                problems.append(Problem(garment.name, f"{garment.photo}: {TOO_LATE}"))
            else:
                records.append(Record(garment.name, location, caption, header.width, header.height))
    if not records:
        raise DataError(problems[0].reason if len(problems) == 1 else f"no photo can be read: {problems[0].reason}")
    return Catalogue(tuple(records), 0, tuple(problems))


def photo_of(kept: Path, name: str) -> Path:
    return kept / f"{name}.png"


def keep_photos(catalogue: Catalogue, kept: Path) -> Catalogue:
    """Keeps upright copies in the run's own folder, which each node of a cluster sees; returns their catalogue."""
    records = []
    for record in catalogue.records:
        path = photo_of(kept, record.name)
        if not path.is_file():
            with replacing(path) as temporary:
                load_rgb(record.path).save(temporary)
        records.append(replace(record, path=str(path), digest=_digest(str(path))))
    return Catalogue(tuple(records), catalogue.filtered, catalogue.problems)
