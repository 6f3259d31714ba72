"""The listing of a data set: its files, and what its caption files say, before any image is opened."""

import json
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from fashion_sweep.data import locations
from fashion_sweep.errors import DataError
from fashion_sweep.storage.files import as_csv

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
OTHER_SUFFIXES = (
    ".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".j2k", ".tga", ".psd", ".svg", ".eps", ".raw", ".dng", ".cr2",
    ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2",
)  # fmt: skip
"""Suffixes of pictures that are not read."""
NOT_READ = "in a format that is not read; save it as JPEG or PNG"
NO_IMAGE = "caption without image"


@dataclass(frozen=True, slots=True)
class Problem:
    file: str
    reason: str


@dataclass(frozen=True)
class Listing:
    images: Mapping[str, str]
    """The caption of each image, by file name."""
    problems: list[Problem]
    captions: int
    """The number of captions that the caption files hold."""


@dataclass(frozen=True)
class Files:
    """The files of a data set as its folders list them."""

    images: Mapping[str, locations.FolderEntry]
    """The image files, by their names in the folder of images."""
    captions: Mapping[str, locations.FolderEntry | None]
    """The files that hold captions, by their names in the root; None for one that is missing."""
    others: Sequence[str] = ()
    """Pictures in formats that are not read."""


@dataclass(frozen=True)
class Layout:
    """A layout, which says how a data set lies on disk."""

    folder: str
    """The folder with the images; empty where that is the root."""
    find: Callable[[str], Files]
    """Lists the files of a root; raises DataError where a folder is missing."""
    read: Callable[[str, Files], Listing]
    """Reads the captions of a root's files; raises DataError where they are missing or malformed."""

    def images_in(self, root: str) -> str:
        """Returns the folder of images."""
        return locations.join(root, self.folder) if self.folder else root


def find_published(folder: str, captions_file: str, root: str) -> Files:
    """Lists the files of a layout with its images in one folder, and its captions in one file.

    Raises:
        DataError: there is no such folder.
    """
    if not locations.is_folder(root):
        raise DataError(f"data folder {root} does not exist")
    images = locations.join(root, folder)
    if not locations.is_folder(images):
        raise DataError(f"{images} does not exist; images are expected there")
    files = {name: entry for name, entry in locations.files(images).items() if is_picture(name)}
    return Files(files, {captions_file: locations.entry(locations.join(root, captions_file))})


def read_captions_file(path: str, take: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Reads the JSON of a data set's captions; each object in it becomes what `take` returns, innermost first.

    Raises:
        DataError: it is missing or malformed.
    """
    try:
        with locations.open_binary(path) as file:
            content = file.read()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; captions are expected there") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error
    try:
        return json.loads(content, object_hook=take)  # as bytes, of which a byte order mark tells the encoding
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error})") from error


def is_caption(value: object) -> TypeGuard[str]:
    """Returns whether a value is text, not empty, that UTF-8 can write: JSON may hold halves of characters."""
    return isinstance(value, str) and bool(value.strip()) and not re.search("[\ud800-\udfff]", value)


def is_picture(name: str) -> bool:
    """Returns whether a file is a picture that is read, by its suffix."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def is_other_picture(name: str) -> bool:
    """Returns whether a file is a picture that is not read, by its suffix."""
    return name.lower().endswith(OTHER_SUFFIXES)


def without_image(key: str) -> Problem:
    """Returns the problem of a caption whose image is not there, or not one that is read."""
    return Problem(key, NOT_READ if is_other_picture(key) else NO_IMAGE)


def matched(keys: Iterable[str], files: Collection[str]) -> dict[str, str]:
    """Returns the image file that each key of a caption file means, of those that mean one.

    That is the one of this name; else the only one that is called so before its suffix; else, where one key and one
    file are left over that differ in nothing but their suffixes and in capital letters, that file.
    """
    stems = _grouped(files, lambda name: os.path.splitext(name)[0])
    matches, rest = dict[str, str](), dict.fromkeys(keys)
    for key in list(rest):
        alike = [key] if key in files else stems.get(key, [])
        if len(alike) == 1:
            matches[key] = alike[0]
            del rest[key]
    if rest:
        left = _grouped(set(files) - set(matches.values()), _loose)
        for form, alike in _grouped(rest, _loose).items():
            if len(alike) == len(left.get(form, [])) == 1:
                matches[alike[0]] = left[form][0]
    return matches


def _grouped(names: Iterable[str], form: Callable[[str], str]) -> dict[str, list[str]]:
    groups = defaultdict[str, list[str]](list)
    for name in names:
        groups[form(name)].append(name)
    return groups


def _loose(name: str) -> str:
    """Returns a name in small letters, without suffix; macOS writes accents apart from their letters."""
    stem = os.path.splitext(name)[0] if is_picture(name) or is_other_picture(name) else name
    return unicodedata.normalize("NFC", stem).casefold()


def problems_csv(problems: Mapping[str, tuple[Problem, ...]]) -> str:
    """Writes the left-out files as CSV, a line each: data set, file, reason."""
    rows = [(name, problem.file, problem.reason) for name, of_set in problems.items() for problem in of_set]
    return as_csv([("data_set", "file", "reason"), *rows])
