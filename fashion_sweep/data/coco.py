"""COCO 2014 captions on disk: `annotations/captions_train2014.json` and `train2014/`.

Of an image's five captions the one with the lowest annotation id is used. Source: https://cocodataset.org/#format-data.
"""

from pathlib import Path, PurePosixPath

from fashion_sweep.data.catalogue import Listing, Problem, is_caption, read_index
from fashion_sweep.errors import DataError


def read(root: Path) -> Listing:
    """Raises DataError: the annotations or the image folder are missing or malformed."""
    path, folder = root / "annotations" / "captions_train2014.json", root / "train2014"
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist; images are expected there")
    index = read_index(path)
    try:
        names = {image["id"]: PurePosixPath(image["file_name"]).name for image in index["images"]}
        captions: dict[int, tuple[int, str]] = {}
        for annotation in index["annotations"]:
            candidate = (annotation["id"], annotation["caption"].strip())
            image_id = annotation["image_id"]
            captions[image_id] = min(captions.get(image_id, candidate), candidate)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not in the layout of COCO captions ({error})") from error
    images: dict[str, tuple[Path, str]] = {}
    problems: list[Problem] = []
    for image_id, name in names.items():
        if not (folder / name).is_file():
            problems.append(Problem(name, "caption without image"))
        elif image_id not in captions or not is_caption(captions[image_id][1]):
            problems.append(Problem(name, "image without caption"))
        else:
            images[name] = (folder / name, captions[image_id][1])
    return Listing(images, problems)
