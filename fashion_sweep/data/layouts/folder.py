"""A folder of images as most trainers have it: a text file beside each image, or `metadata.jsonl`, or both.

`blue-dress.txt` beside `blue-dress.jpg` holds its caption in UTF-8; line breaks in it count as spaces. A line of
`metadata.jsonl` is an object with `file_name`, from the folder that the file is in, and `text`, as the datasets library
has it (https://huggingface.co/docs/datasets/image_dataset). Sub-folders are read too. An image with two captions that
differ is left out, and so is one without any.
"""

import json
from functools import partial
from pathlib import PurePosixPath

from fashion_sweep.data import locations
from fashion_sweep.data.listing import (
    Files,
    Layout,
    Listing,
    Problem,
    is_caption,
    is_other_picture,
    is_picture,
    matched,
    without_image,
)
from fashion_sweep.data.many import over_files
from fashion_sweep.errors import DataError

METADATA = "metadata.jsonl"
CAPTION_SUFFIX = ".txt"
NO_TEXT = "caption is empty or no text"
UNREADABLE_TEXT = "caption file is no UTF-8 text"
TWO_CAPTIONS = "it has captions that differ"


def find(root: str) -> Files:
    """Lists the files of a folder of images.

    Raises:
        DataError: there is no such folder.
    """
    if not locations.is_folder(root):
        raise DataError(f"data folder {root} does not exist")
    files = locations.tree(root)
    images = {name: entry for name, entry in files.items() if is_picture(name)}
    stems = {_stem(name) for name in images}
    captions = {name: entry for name, entry in files.items() if _is_metadata(name) or _is_beside(name, stems)}
    others = [name for name in files if is_other_picture(name)]
    return Files(images, captions, others)


def read(root: str, files: Files) -> Listing:
    """Reads the captions beside the images, and those in each `metadata.jsonl`.

    Raises:
        DataError: nothing is captioned, a caption file cannot be read, or a `metadata.jsonl` is malformed.
    """
    if not files.captions:
        raise DataError(
            f"{root}: has no captions; put a {CAPTION_SUFFIX} file of the same name beside each image, or a {METADATA}"
        )
    named: dict[str, list[object]] = {}
    for path in filter(_is_metadata, files.captions):
        for name, text in _metadata(root, path):
            named.setdefault(name, []).append(text)
    images_named = matched(named, files.images)
    problems = [without_image(key) for key in named if key not in images_named]
    texts: dict[str, list[object]] = {}
    for key, image in images_named.items():
        texts.setdefault(image, []).extend(named[key])
    beside = _texts_beside(root, files)
    images: dict[str, str] = {}
    for name in files.images:
        captions = [text for text in (*texts.get(name, ()), *beside.get(_stem(name), ())) if text is not None]
        if reason := _why_not(captions, name in texts):
            problems.append(Problem(name, reason))
        else:
            images[name] = _one_line(str(captions[0]))
    listed = {problem.file for problem in problems}
    problems += [without_image(name) for name in files.others if name not in listed]
    return Listing(images, problems, sum(map(len, named.values())) + sum(map(len, beside.values())))


def _why_not(captions: list[object], named: bool) -> str | None:
    """Returns why an image with these captions is left out; None where it is used."""
    if not captions:
        return NO_TEXT if named else "image without caption"
    if bytes in map(type, captions):
        return UNREADABLE_TEXT
    if not all(map(is_caption, captions)):
        return NO_TEXT
    return TWO_CAPTIONS if len({_one_line(str(caption)) for caption in captions}) > 1 else None


def _metadata(root: str, path: str) -> list[tuple[str, object]]:
    """Reads one `metadata.jsonl`; returns the image's name from `root` and the `text` of each line."""
    content = _text(root, path)
    if isinstance(content, bytes):
        raise DataError(f"{locations.join(root, path)}: cannot be read, for it is no UTF-8 text")
    texts: list[tuple[str, object]] = []
    has_key = False
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
            raise DataError(f"{locations.join(root, path)}, line {number}: must be an object with file_name and text")
        has_key |= "text" in row
        texts.append((str(PurePosixPath(path).parent / row["file_name"]), row.get("text")))
    if texts and not has_key:
        raise DataError(f"{locations.join(root, path)}: no line has a caption; its key is `text`")
    return texts


def _texts_beside(root: str, files: Files) -> dict[str, list[object]]:
    """Reads the texts of the files beside each image, by the name before the suffix; bytes where one is no UTF-8."""
    paths = [path for path in files.captions if not _is_metadata(path)]
    texts: dict[str, list[object]] = {}
    for path, text in zip(paths, over_files(partial(_text, root), paths), strict=True):
        texts.setdefault(_stem(path), []).append(text)
    return texts


def _text(root: str, path: str) -> str | bytes:
    content = _content(root, path)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content


def _content(root: str, path: str) -> bytes:
    """Reads a file of the data set.

    Raises:
        DataError: the file cannot be read now.
    """
    try:
        with locations.open_binary(locations.join(root, path)) as file:
            return file.read()
    except OSError as error:
        raise DataError(f"{locations.join(root, path)}: cannot be read ({error})") from error


def _is_metadata(name: str) -> bool:
    return PurePosixPath(name).name == METADATA


def _is_beside(name: str, stems: set[str]) -> bool:
    return name.lower().endswith(CAPTION_SUFFIX) and _stem(name) in stems


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _one_line(text: str) -> str:
    return " ".join(text.split())


LAYOUT = Layout("", find, read)
