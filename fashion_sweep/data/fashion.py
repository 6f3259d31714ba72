"""DeepFashion-MultiModal on disk: `images/*.jpg` and `captions.json`, file name (with or without suffix) → caption.

Source: Jiang et al., Text2Human (SIGGRAPH 2022), https://github.com/yumingj/DeepFashion-MultiModal.
"""

import json
from pathlib import Path

from fashion_sweep.data.catalogue import Listing, Problem
from fashion_sweep.errors import DataError

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}


def read(root: Path) -> Listing:
    """Raises DataError: `images/` or `captions.json` is missing or malformed."""
    captions = _read_captions(root / "captions.json")
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
        elif not isinstance(caption, str) or not caption.strip():
            problems.append(Problem(name, "caption is empty or no text"))
            del files[name]
        else:
            images[name] = (files[name], caption.strip())
    unused = sorted(set(files) - set(images))
    problems += [Problem(name, "image without caption") for name in unused]
    return Listing(images, problems)


def _read_captions(path: Path) -> dict[str, object]:
    try:
        captions = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; captions are expected there") from None
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(captions, dict):
        raise DataError(f"{path}: must be one object from file name to caption")
    return captions
