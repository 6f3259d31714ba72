"""Turns a model's name in the config into what `from_pretrained` takes, and hashes its weights."""

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
"""The size in bytes from which on a file takes long to read."""


def locate(name: str, key: str) -> str:
    """Returns a folder for `embedded:<name>`, a folder or file for local paths, else the hub id as it is.

    Raises:
        ConfigError: the embedded model, the folder or the file does not exist.
    """
    if name.startswith(EMBEDDED):
        folder = WEIGHTS / name.removeprefix(EMBEDDED)
        if folder.parent != WEIGHTS or not folder.is_dir() or folder.name == "..":
            embedded = [EMBEDDED + path.name for path in WEIGHTS.iterdir() if path.is_dir()]
            raise ConfigError(f"{key}: {name!r} is not embedded in this package{did_you_mean(name, embedded)}")
        return str(folder)
    path = Path(os.path.expanduser(name))
    if path.is_dir() or path.is_file():
        return os.path.abspath(path)  # a link keeps its own name: in a hub's cache the file behind it has no suffix
    if path.suffix == SUFFIX or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise ConfigError(f"{key}: {name!r} is neither a folder nor a hub id such as owner/name, nor a {SUFFIX} file")
    return name


def is_file(location: str) -> bool:
    """Tells whether `locate` found a single-file checkpoint."""
    return location.endswith(SUFFIX) and Path(location).is_file()


def fingerprint(location: str) -> str:
    """Hashes the names and contents of a local folder's weights and configs, a file's contents, or a hub id itself."""
    digest = hashlib.blake2b(digest_size=16)
    folder = Path(location)
    if not folder.exists():
        return hashlib.blake2b(location.encode(), digest_size=16).hexdigest()
    files = [Path(at, name) for at, _, names in os.walk(folder, followlinks=True) for name in names]
    files = [path for path in files if path.suffix in WEIGHTS_AND_CONFIGS]
    paths = [folder] if folder.is_file() else sorted(files)
    for path, content in zip(paths, _contents(paths), strict=True):
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(bytes.fromhex(content))
    return digest.hexdigest()


def _contents(paths: Sequence[Path]) -> list[str]:
    """Returns the digest of each file.

    Digests of large files, which take long, are kept for as long as size and time stay the same.
    """
    kept = read_what_may_be_lost(weights_index())
    computed: dict[str, str] = {}
    digests: list[str] = []
    for path in paths:
        stat = path.stat()
        looks = f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns}"
        if not isinstance(content := kept.get(looks), str):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "blake2b").hexdigest()
            if stat.st_size >= LARGE:
                computed[looks] = content
        digests.append(content)
    if computed:
        write_json(weights_index(), kept | computed)
    return digests
