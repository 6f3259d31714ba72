"""From a model's name in the config to what `from_pretrained` takes, and the hash of its weights."""

import hashlib
from pathlib import Path

from fashion_sweep.errors import ConfigError, did_you_mean
from fashion_sweep.tiny import WEIGHTS

EMBEDDED = "embedded:"
RANDOM = "random:"
"""Before any other name of a model: its architecture, with random weights."""
ARCHITECTURES = Path(__file__).parent / "architectures"
"""Configs, without weights, of models on the hub, in folders of their names."""


def locate(name: str, key: str) -> str:
    """A folder for `embedded:<name>`, for local paths and, of configs alone, for `random:<name>`; else the hub id.

    Raises:
        ConfigError: the embedded model or the local folder does not exist.
    """
    if name.startswith(RANDOM):
        folder = Path(locate_architecture(name.removeprefix(RANDOM), key))
        if not (folder / "model_index.json").is_file():
            raise ConfigError(f"{key}: {name!r} can be built from a folder with configs alone, or from {_packaged()}")
        return str(folder)
    if name.startswith(EMBEDDED):
        folder = WEIGHTS / name.removeprefix(EMBEDDED)
        if not folder.is_dir():
            known = [EMBEDDED + path.name for path in WEIGHTS.iterdir() if path.is_dir()]
            raise ConfigError(f"{key}: {name!r} is not embedded in this package{did_you_mean(name, known)}")
        return str(folder)
    path = Path(name).expanduser()
    if path.is_dir():
        return str(path.resolve())
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise ConfigError(f"{key}: {name!r} is neither a folder nor a hub id such as owner/name")
    return name


def locate_architecture(name: str, key: str) -> str:
    """A folder with at least the configs of the model's components: for known hub ids that of this package.

    Raises:
        ConfigError: as `locate`.
    """
    location = locate(name, key)
    packaged = ARCHITECTURES / Path(name).name
    return location if Path(location).is_dir() or not packaged.is_dir() else str(packaged)


def model_fingerprint(name: str, key: str) -> str:
    """Of what `name` stands for: its weights and configs, or its configs and that it is random."""
    kind = RANDOM if name.startswith(RANDOM) else ""
    return kind + fingerprint(locate(name, key))


def _packaged() -> str:
    return ", ".join(sorted(path.name for path in ARCHITECTURES.iterdir()))


def fingerprint(location: str) -> str:
    """Hash over the names and contents of a local folder's weights and configs; of the id itself for a hub id."""
    digest = hashlib.blake2b(digest_size=16)
    folder = Path(location)
    if not folder.is_dir():
        return hashlib.blake2b(location.encode(), digest_size=16).hexdigest()
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".safetensors", ".json", ".txt"}:
            digest.update(str(path.relative_to(folder)).encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "blake2b").digest())
    return digest.hexdigest()
