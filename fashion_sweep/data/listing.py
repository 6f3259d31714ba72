"""What a data set's own caption file says, before any image is opened."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from fashion_sweep.data import locations
from fashion_sweep.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


@dataclass(frozen=True, slots=True)
class Problem:
    file: str
    reason: str


@dataclass(frozen=True)
class Listing:
    images: Mapping[str, str]
    """Caption by file name."""
    problems: list[Problem]
    captions: int
    """How many the caption file holds."""


@dataclass(frozen=True)
class Layout:
    """Where a published data set keeps what."""

    folder: str
    """With the images."""
    captions_file: str
    read: Callable[[str, dict[str, locations.Entry]], Listing]
    """(root, image files) → what the caption file says; raises DataError where it is missing or malformed."""

    def files(self, root: str) -> dict[str, locations.Entry]:
        """The image files by name.

        Raises:
            DataError: there is no such folder.
        """
        if not locations.is_folder(root):
            raise DataError(f"data folder {root} does not exist")
        folder = locations.join(root, self.folder)
        if not locations.is_folder(folder):
            raise DataError(f"{folder} does not exist; images are expected there")
        return {n: entry for n, entry in locations.files(folder).items() if n.lower().endswith(IMAGE_SUFFIXES)}


def read_captions_file(path: str, take: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """The JSON of a data set's captions; each object in it as `take` returns it, innermost first.

    Raises:
        DataError: it is missing or malformed.
    """
    try:
        with locations.open_binary(path) as file:
            text = file.read().decode("utf-8")
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; captions are expected there") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not valid JSON ({error})") from error
    try:
        return json.loads(text, object_hook=take)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error})") from error


def is_caption(value: object) -> TypeGuard[str]:
    """Text, not empty, that can be written as UTF-8: JSON may hold halves of characters."""
    return isinstance(value, str) and bool(value.strip()) and not re.search("[\ud800-\udfff]", value)
