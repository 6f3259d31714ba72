"""COCO 2014 captions on disk: `annotations/captions_train2014.json` and `train2014/`.

Of an image's five captions the one with the lowest annotation id is used. Source: https://cocodataset.org/#format-data.
"""

from functools import partial
from pathlib import PurePosixPath
from typing import Any

from fashion_sweep.data import locations
from fashion_sweep.data.listing import (
    Files,
    Layout,
    Listing,
    Problem,
    find_published,
    is_caption,
    matched,
    read_captions_file,
    without_image,
)
from fashion_sweep.errors import DataError

IMAGES = "train2014"
CAPTIONS = "annotations/captions_train2014.json"


def read(root: str, files: Files) -> Listing:
    """Reads the captions of the annotations.

    Raises:
        DataError: the annotations are missing or malformed.
    """
    path = locations.join(root, CAPTIONS)
    parts = _Parts()
    try:
        whole = read_captions_file(path, parts.take)
        if any(part is not None for name in ("images", "annotations") for part in whole[name]):
            raise TypeError("images and annotations must be lists of objects")
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not in the layout of COCO captions ({error})") from error
    images: dict[str, str] = {}
    problems: list[Problem] = []
    named = matched(parts.names.values(), files.images)
    for image_id, key in parts.names.items():
        if (name := named.get(key)) is None:
            problems.append(without_image(key))
        elif image_id not in parts.captions or not is_caption(parts.captions[image_id][1]):
            problems.append(Problem(name, "image without caption"))
        else:
            images[name] = parts.captions[image_id][1]
    return Listing(images, problems, parts.count)


class _Parts:
    """Takes what is needed from each object of the annotations as soon as it is parsed.

    The published file's 414,113 captions as objects are half a gigabyte.
    """

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.captions: dict[int, tuple[int, str]] = {}
        self.count = 0

    def take(self, item: dict[str, Any]) -> dict[str, Any] | None:
        if "caption" in item:
            candidate, image_id = (item["id"], item["caption"].strip()), item["image_id"]
            self.captions[image_id] = min(self.captions.get(image_id, candidate), candidate)
            self.count += 1
            return None
        if "file_name" in item:
            self.names[item["id"]] = PurePosixPath(item["file_name"]).name
            return None
        return item


LAYOUT = Layout(IMAGES, partial(find_published, IMAGES, CAPTIONS), read)
