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
TWO_CAPTIONS = f"captions in {METADATA} and beside it differ"


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
    named, count = dict[str, object](), 0
    for path in filter(_is_metadata, files.captions):
        lines = _metadata(root, path)
        named |= lines
        count += len(lines)
    images_named = matched(named, files.images)
    problems = [without_image(key) for key in named if key not in images_named]
    texts: dict[str, object] = {image: named[key] for key, image in images_named.items()}
    beside = _texts_beside(root, files)
    images: dict[str, str] = {}
    for name in files.images:
        both = [caption for caption in (texts.get(name), beside.get(_stem(name))) if caption is not None]
        if reason := _why_not(both, name in texts):
            problems.append(Problem(name, reason))
        else:
            images[name] = _one_line(str(both[0]))
    listed = {problem.file for problem in problems}
    problems += [without_image(name) for name in files.others if name not in listed]
    return Listing(images, problems, count + len(beside))


def _why_not(captions: list[object], named: bool) -> str | None:
    """Returns why an image with these captions is left out; None where it is used."""
    if not captions:
        return NO_TEXT if named else "image without caption"
    if bytes in map(type, captions):
        return UNREADABLE_TEXT
    if not all(map(is_caption, captions)):
        return NO_TEXT
    return TWO_CAPTIONS if len({_one_line(str(caption)) for caption in captions}) > 1 else None


def _metadata(root: str, path: str) -> dict[str, object]:
    """Reads one `metadata.jsonl`; returns each `text` by the image's name from `root`."""
    content = _text(root, path)
    if isinstance(content, bytes):
        raise DataError(f"{locations.join(root, path)}: cannot be read, for it is no UTF-8 text")
    texts: dict[str, object] = {}
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name = PurePosixPath(path).parent / row["file_name"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            place = f"{locations.join(root, path)}, line {number}"
            raise DataError(f"{place}: must be an object with file_name and text ({error!r})") from error
        texts[str(name)] = row.get("text")
    if texts and not any(map(is_caption, texts.values())):
        raise DataError(f"{locations.join(root, path)}: no line has a caption; its key is `text`")
    return texts


def _texts_beside(root: str, files: Files) -> dict[str, object]:
    """Reads the text of each file beside an image, by the name before the suffix; bytes where it is no UTF-8."""
    paths = [path for path in files.captions if not _is_metadata(path)]
    return dict(zip(map(_stem, paths), over_files(partial(_text, root), paths), strict=True))


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
