"""Photos of garments, one each, as a data set: their records, and what cannot be read."""

import csv
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from fashion_sweep.data import locations
from fashion_sweep.data.catalogue import UNREADABLE, Catalogue, Record
from fashion_sweep.data.images import UNDECODABLE, load_rgb, read_size
from fashion_sweep.data.listing import IMAGE_SUFFIXES, Problem
from fashion_sweep.data.sets import WORLD_SEED
from fashion_sweep.errors import ConfigError, DataError
from fashion_sweep.files import replacing
from fashion_sweep.paths import cache_root
from fashion_sweep.sweep_file import Garment

COLUMNS = ("photo", "kind", "attribute", "name")
"""Of a CSV file; the last two may be missing or empty."""
EMBEDDED = "embedded:"
NOWHERE = "there is no such file"


def read_garments(sources: Sequence[str], kind: str | None, attribute: str, name: str | None) -> list[Garment]:
    """Args:
        sources: photos, folders of photos, CSV files that name photos, beside them or absolute; and `embedded:N`.
        kind, attribute: of each that no CSV file tells of.
        name: of a single garment; else each is called as its file.

    Raises:
        ConfigError: a source is nothing of these, or something is missing.
    """
    found = [one for source in sources for one in _of_source(source, kind, attribute)]
    if name is not None:
        if len(found) != 1:
            raise ConfigError(f"--name {name}: is for one photo, not for {len(found)}; a CSV file names each")
        found = [found[0] | {"name": name}]
    names = [one["name"].casefold() for one in found]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(f"two garments are called {repeated!r}; a CSV file with the column name tells them apart")
    try:
        return [Garment.model_validate(one) for one in found]
    except ValidationError as error:
        detail = error.errors()[0]
        raise ConfigError(f"garment {detail['loc'][0]}: {detail['input']!r}: {detail['msg']}") from error


def _of_source(source: str, kind: str | None, attribute: str) -> list[dict[str, str]]:
    if source.startswith(EMBEDDED):
        return _of_csv(_rendered(source), kind, attribute)
    if source.lower().endswith(".csv"):
        return _of_csv(source, kind, attribute)
    photos = [source]
    if locations.is_folder(source):
        photos = [locations.join(source, n) for n in sorted(locations.files(source)) if _is_image(n)]
        if not photos:
            raise ConfigError(f"{source}: holds no photo")
    if kind is None:
        raise ConfigError("--kind: say what the garment is, for instance --kind sweater")
    return [{"photo": one, "kind": kind, "attribute": attribute, "name": _name(one)} for one in photos]


def _rendered(source: str) -> str:
    """The list of so many garments of the embedded world, which is made at first."""
    from fashion_sweep.tiny.wardrobe import TOPS
    from fashion_sweep.tiny.world import GARMENTS, write_garments

    count = source.removeprefix(EMBEDDED)
    if not count.isdecimal() or not 1 <= int(count) <= TOPS:
        raise ConfigError(f"{source}: say how many garments of the embedded world, 1 to {TOPS}, as in {EMBEDDED}6")
    folder = cache_root() / f"world-garments-{int(count)}-seed{WORLD_SEED}"
    write_garments(folder, int(count), WORLD_SEED)
    return str(folder / GARMENTS)


def _of_csv(source: str, kind: str | None, attribute: str) -> list[dict[str, str]]:
    try:
        with locations.open_binary(source) as file:
            rows = list(csv.DictReader(io.StringIO(file.read().decode("utf-8-sig")), strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{source}: cannot be read ({error})") from error
    if not rows or "photo" not in rows[0] or (unknown := set(rows[0]) - {*COLUMNS}):
        what = f"unknown column {sorted(map(str, unknown))[0]!r}" if rows and "photo" in rows[0] else "no column photo"
        raise ConfigError(f"{source}: {what}; it has a line with {', '.join(COLUMNS)}, and below it a line a garment")
    found = []
    for number, row in enumerate(rows, start=2):
        if not row["photo"] or not (row.get("kind") or kind):
            raise ConfigError(f"{source}: line {number} tells no {'kind' if row['photo'] else 'photo'}")
        photo = row["photo"] if locations.is_url(row["photo"]) else os.path.join(os.path.dirname(source), row["photo"])
        given = {key: value for key, value in row.items() if value}
        found.append({"kind": kind or "", "attribute": attribute, "name": _name(photo)} | given | {"photo": photo})
    return found


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def _name(photo: str) -> str:
    """Of its file, as a folder may be called."""
    return re.sub(r"[^\w.-]+", "-", Path(photo).stem).strip("-.") or "garment"


def garment_catalogue(garments: Sequence[Garment], captions: Sequence[str], kept: Path) -> Catalogue:
    """A record a garment, called by its name. The photo that the run has kept comes before the one that was given,
    which may be gone when the run goes on.

    Args:
        garments: in any order.
        captions: of their photos.
        kept: the run's own folder for photos.

    Raises:
        DataError: no photo can be read.
    """
    records, problems = [], []
    for garment, caption in sorted(zip(garments, captions, strict=True), key=lambda pair: pair[0].name):
        copy = photo_of(kept, garment.name)
        location = str(copy) if copy.is_file() else locations.absolute(garment.photo)
        try:
            with locations.open_binary(location) as file:
                width, height = read_size(file)
        except FileNotFoundError:
            problems.append(Problem(garment.name, f"{garment.photo}: {NOWHERE}"))
        except UNDECODABLE as error:
            problems.append(Problem(garment.name, f"{garment.photo}: {UNREADABLE} ({error})"))
        else:
            records.append(Record(garment.name, location, caption, width, height))
    if not records:
        raise DataError(problems[0].reason if len(problems) == 1 else f"no photo can be read: {problems[0].reason}")
    return Catalogue(tuple(records), 0, tuple(problems))


def photo_of(kept: Path, name: str) -> Path:
    return kept / f"{name}.png"


def keep_photos(catalogue: Catalogue, kept: Path) -> Catalogue:
    """The same with upright copies in the run's own folder, which each node of a cluster sees."""
    records = []
    for record in catalogue.records:
        path = photo_of(kept, record.name)
        if not path.is_file():
            with replacing(path) as temporary:
                load_rgb(record.path).save(temporary)
        records.append(Record(record.name, str(path), record.caption, record.width, record.height, path.stat().st_size))
    return Catalogue(tuple(records), catalogue.filtered, catalogue.problems)
