"""From a model's name in the config to what `from_pretrained` takes, and the hash of its weights."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from fashion_sweep.errors import ConfigError, did_you_mean
from fashion_sweep.run.paths import weights_index
from fashion_sweep.storage.files import read_what_may_be_lost, write_json
from fashion_sweep.tiny import WEIGHTS

EMBEDDED = "embedded:"
SUFFIX = ".safetensors"
WEIGHTS_AND_CONFIGS = {SUFFIX, ".json", ".txt"}
LARGE = 2**24
"""Bytes of a file that takes long to read."""


def locate(name: str, key: str) -> str:
    """A folder for `embedded:<name>`, a folder or file for local paths, else the hub id as it is.

    Raises:
        ConfigError: the embedded model, the folder or the file does not exist.
    """
    if name.startswith(EMBEDDED):
        folder = WEIGHTS / name.removeprefix(EMBEDDED)
        if folder.parent != WEIGHTS or not folder.is_dir() or folder.name == "..":
            known = [EMBEDDED + path.name for path in WEIGHTS.iterdir() if path.is_dir()]
            raise ConfigError(f"{key}: {name!r} is not embedded in this package{did_you_mean(name, known)}")
        return str(folder)
    path = Path(os.path.expanduser(name))
    if path.is_dir() or path.is_file():
        return os.path.abspath(path)  # a link keeps its own name: in a hub's cache the file behind it has no suffix
    if path.suffix == SUFFIX or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise ConfigError(f"{key}: {name!r} is neither a folder nor a hub id such as owner/name, nor a {SUFFIX} file")
    return name


def is_file(location: str) -> bool:
    """Whether `locate` found a single-file checkpoint."""
    return location.endswith(SUFFIX) and Path(location).is_file()


def fingerprint(location: str) -> str:
    """Hash over the names and contents of a local folder's weights and configs, or of a file's contents; of the id
    itself for a hub id."""
    digest = hashlib.blake2b(digest_size=16)
    folder = Path(location)
    if not folder.exists():
        return hashlib.blake2b(location.encode(), digest_size=16).hexdigest()
    found = [Path(at, name) for at, _, names in os.walk(folder, followlinks=True) for name in names]
    found = [path for path in found if path.suffix in WEIGHTS_AND_CONFIGS]
    paths = [folder] if folder.is_file() else sorted(found)
    for path, content in zip(paths, _contents(paths), strict=True):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(bytes.fromhex(content))
    return digest.hexdigest()


def _contents(paths: Sequence[Path]) -> list[str]:
    """Digest of each file. Gigabytes take long: those of large ones are kept for as long as size and time stay the
    same."""
    known = read_what_may_be_lost(weights_index())
    seen: dict[str, str] = {}
    digests: list[str] = []
    for path in paths:
        stat = path.stat()
        looks = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
        if not isinstance(content := known.get(looks), str):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "blake2b").hexdigest()
            if stat.st_size >= LARGE:
                seen[looks] = content
        digests.append(content)
    if seen:
        write_json(weights_index(), known | seen)
    return digests
