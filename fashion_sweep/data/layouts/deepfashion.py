"""DeepFashion-MultiModal on disk: `images/*.jpg` and `captions.json`, file name (with or without suffix) → caption.

Source: Jiang et al., Text2Human (SIGGRAPH 2022), https://github.com/yumingj/DeepFashion-MultiModal.
"""

from functools import partial

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

IMAGES = "images"
CAPTIONS = "captions.json"


def read(root: str, files: Files) -> Listing:
    """Reads the captions of `captions.json`.

    Raises:
        DataError: `captions.json` is missing or malformed.
    """
    path = locations.join(root, CAPTIONS)
    captions = read_captions_file(path)
    if not isinstance(captions, dict):
        raise DataError(f"{path}: must be one object from file name to caption")
    captions = {key: text for key, text in captions.items() if not key.rpartition("/")[2].startswith(".")}
    named = matched(captions, files.images)
    images: dict[str, str] = {}
    problems: list[Problem] = []
    for key, caption in captions.items():
        if (name := named.get(key)) is None:
            problems.append(without_image(key))
        elif is_caption(caption):
            images[name] = caption.strip()
        else:
            problems.append(Problem(name, "caption is empty or no text"))
    listed = {*images, *(problem.file for problem in problems)}
    problems += [Problem(name, "image without caption") for name in sorted(set(files.images) - listed)]
    return Listing(images, problems, len(captions))


LAYOUT = Layout(IMAGES, partial(find_published, IMAGES, CAPTIONS), read)
