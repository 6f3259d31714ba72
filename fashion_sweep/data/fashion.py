"""DeepFashion-MultiModal on disk: `images/*.jpg` and `captions.json`, file name (with or without suffix) → caption.

Source: Jiang et al., Text2Human (SIGGRAPH 2022), https://github.com/yumingj/DeepFashion-MultiModal.
"""

from pathlib import Path

from fashion_sweep.data.catalogue import Listing, Problem, is_caption, read_index
from fashion_sweep.errors import DataError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}


def read(root: Path) -> Listing:
    """Raises DataError: `images/` or `captions.json` is missing or malformed."""
    index = root / "captions.json"
    captions = read_index(index)
    if not isinstance(captions, dict):
        raise DataError(f"{index}: must be one object from file name to caption")
    folder = root / "images"
    if not folder.is_dir():
        raise DataError(f"{folder} does not exist; images are expected there")
    files = {path.name: path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES}
    by_stem = {path.stem: name for name, path in files.items()}
    images: dict[str, tuple[Path, str]] = {}
    problems: list[Problem] = []
    for key, caption in captions.items():
        name = key if key in files else by_stem.get(key)
        if name is None:
            problems.append(Problem(key, "caption without image"))
        elif is_caption(caption):
            images[name] = (files[name], caption.strip())
        else:
            problems.append(Problem(name, "caption is empty or no text"))
    listed = {*images, *(problem.file for problem in problems)}
    problems += [Problem(name, "image without caption") for name in sorted(set(files) - listed)]
    return Listing(images, problems)
