"""From a model's name in the config to what `from_pretrained` takes, and the hash of its weights."""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from fashion_sweep.errors import ConfigError, did_you_mean
from fashion_sweep.run.paths import weights_index
from fashion_sweep.storage.files import read_json, read_what_may_be_lost, write_json
from fashion_sweep.tiny import WEIGHTS

EMBEDDED = "embedded:"
SUFFIX = ".safetensors"
RANDOM = "random:"
"""Before any other name of a model: its architecture, with random weights."""
PARTS = {
    "scheduler": ("diffusers", r"\w+Scheduler"),
    "unet": ("diffusers", "UNet2DConditionModel"),
    "vae": ("diffusers", "AutoencoderKL"),
    "text_encoder": ("transformers", "CLIPTextModel"),
    "text_encoder_2": ("transformers", "CLIPTextModelWithProjection"),
    "tokenizer": ("transformers", "CLIPTokenizer(Fast)?"),
    "tokenizer_2": ("transformers", "CLIPTokenizer(Fast)?"),
    "image_encoder": ("transformers", "CLIPVisionModelWithProjection"),
    "feature_extractor": ("transformers", "CLIP(ImageProcessor|FeatureExtractor)"),
}
"""Library and class of what a pipeline's folder may consist of."""
ARCHITECTURES = Path(__file__).parent / "sdxl" / "configs"
"""Configs, without weights, of models on the hub, in folders of their names."""
WEIGHTS_AND_CONFIGS = {SUFFIX, ".json", ".txt"}
LARGE = 2**24
"""Bytes of a file that takes long to read."""
SINGLE_FILES = {
    "model.base": ("stable-diffusion-xl-base-1.0", "conditioner.embedders.1.model.ln_final.weight"),
    "model.refiner": ("stable-diffusion-xl-refiner-1.0", "conditioner.embedders.0.model.ln_final.weight"),
    "model.vae": ("stable-diffusion-xl-base-1.0", "decoder.conv_in.weight"),
}
"""By key: the architecture of a single-file checkpoint, and a tensor by which one is known."""


def locate(name: str, key: str) -> str:
    """A folder for `embedded:<name>`, a folder or file for local paths, a folder of configs alone for `random:<name>`,
    else the hub id as it is.

    Raises:
        ConfigError: the embedded model, the folder or the file does not exist, or the file holds something else.
    """
    if name.startswith(RANDOM):
        real = name.removeprefix(RANDOM)
        packaged = ARCHITECTURES / real
        folder = packaged if packaged.is_dir() else Path(locate_architecture(real, key))
        if not (folder / "model_index.json").is_file():
            raise ConfigError(f"{key}: {name!r} can be built from a folder with configs alone, or from {_packaged()}")
        return str(folder)
    if name.startswith(EMBEDDED):
        folder = WEIGHTS / name.removeprefix(EMBEDDED)
        if folder.parent != WEIGHTS or not folder.is_dir() or folder.name == "..":
            known = [EMBEDDED + path.name for path in WEIGHTS.iterdir() if path.is_dir()]
            raise ConfigError(f"{key}: {name!r} is not embedded in this package{did_you_mean(name, known)}")
        return str(folder)
    path = Path(os.path.expanduser(name))
    if path.is_dir():
        check_parts(name, key, read_json(path / "model_index.json", {}))
        return os.path.abspath(path)  # a link keeps its own name: in a hub's cache the file behind it has no suffix
    if path.is_file():
        _check_file(path, key)
        return os.path.abspath(path)
    if path.suffix == SUFFIX or name.startswith((".", "/", "~")) or name.count("/") != 1:
        raise ConfigError(f"{key}: {name!r} is neither a folder nor a hub id such as owner/name, nor a {SUFFIX} file")
    return name


def check_parts(name: str, key: str, index: Any) -> None:
    """diffusers imports whatever module `model_index.json` names.

    Raises:
        ConfigError: it names something that is no part of SDXL.
    """
    if not isinstance(index, dict):
        raise ConfigError(f"{key}: the model_index.json of {name} holds no parts of a pipeline")
    for part, entry in index.items():
        if (part not in PARTS and not isinstance(entry, list)) or entry == [None, None]:
            continue
        library, pattern = PARTS.get(part, ("", ""))
        named = entry if isinstance(entry, list) and len(entry) == 2 else ["", ""]
        if named[0] != library or not re.fullmatch(pattern, str(named[1])):
            raise ConfigError(f"{key}: {name} wants {entry} for its {part}, which is no part of a Stable Diffusion XL")


def is_file(location: str) -> bool:
    """Whether `locate` found a single-file checkpoint."""
    return location.endswith(SUFFIX) and Path(location).is_file()


def architecture_of(key: str) -> Path:
    """The folder with the configs of what a single-file checkpoint at `key` holds."""
    return ARCHITECTURES / SINGLE_FILES[key][0]


def _check_file(path: Path, key: str) -> None:
    """By its header alone, so that a file of gigabytes is told from another in no time."""
    if path.suffix != SUFFIX or key not in SINGLE_FILES:
        raise ConfigError(f"{key}: {path} is a file that cannot be read; give a folder, or a {SUFFIX} checkpoint")
    architecture, tensor = SINGLE_FILES[key]
    try:
        with safe_open(path, "np") as file:
            names = set(file.keys())
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{key}: {path} is no whole {SUFFIX} file ({error})") from error
    if not any(name.endswith(tensor) for name in names):
        kind = "autoencoder" if key == "model.vae" else f"single-file checkpoint of {architecture}"
        raise ConfigError(f"{key}: {path} holds no {kind}: it has no tensor {tensor}")


def locate_architecture(name: str, key: str) -> str:
    """A folder with at least the configs of the model's components: for known hub ids and files that of this package.

    Raises:
        ConfigError: as `locate`.
    """
    location = locate(name, key)
    packaged = architecture_of(key) if is_file(location) else ARCHITECTURES / Path(name).name
    return location if Path(location).is_dir() or not packaged.is_dir() else str(packaged)


def model_fingerprint(name: str, key: str) -> str:
    """Of what `name` stands for: its weights and configs, or its configs and that it is random."""
    kind = RANDOM if name.startswith(RANDOM) else ""
    return kind + fingerprint(locate(name, key))


def _packaged() -> str:
    return ", ".join(sorted(path.name for path in ARCHITECTURES.iterdir()))


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
