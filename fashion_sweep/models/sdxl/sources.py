"""Locates Stable Diffusion XL's weights and configs: folders, single files, and the configs in this package."""

import re
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from fashion_sweep.config.model_config import RANDOM
from fashion_sweep.errors import ConfigError
from fashion_sweep.models import sources
from fashion_sweep.models.sources import SUFFIX, fingerprint, is_file
from fashion_sweep.storage.files import read_json

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
"""The library and class of each part that a pipeline's folder may hold."""
CONFIGS = Path(__file__).parent / "configs"
"""The folder of configs, without weights, of models on the hub, in folders of their names."""
SINGLE_FILES = {
    "model.base": ("stable-diffusion-xl-base-1.0", "conditioner.embedders.1.model.ln_final.weight"),
    "model.refiner": ("stable-diffusion-xl-refiner-1.0", "conditioner.embedders.0.model.ln_final.weight"),
    "model.vae": ("stable-diffusion-xl-base-1.0", "decoder.conv_in.weight"),
}
"""The architecture of a single-file checkpoint, and a tensor by which one is known, by key."""


def locate(name: str, key: str) -> str:
    """Locates as `sources.locate`, and checks that local files are SDXL's; for `random:<name>` a folder with configs.

    Raises:
        ConfigError: as `sources.locate`, or it is no SDXL.
    """
    if name.startswith(RANDOM):
        real = name.removeprefix(RANDOM)
        packaged = CONFIGS / real
        folder = packaged if packaged.is_dir() else Path(locate_architecture(real, key))
        if not (folder / "model_index.json").is_file():
            raise ConfigError(f"{key}: {name!r} can be built from a folder with configs alone, or from {_packaged()}")
        return str(folder)
    location = sources.locate(name, key)
    if Path(location).is_dir():
        check_parts(name, key, read_json(Path(location) / "model_index.json", {}))
    elif Path(location).is_file():
        _check_file(Path(location), key)
    return location


def check_parts(name: str, key: str, index: Any) -> None:
    """Checks that `model_index.json` names SDXL's parts alone: diffusers imports whatever module it names.

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


def packaged_configs(key: str) -> Path:
    """Returns the folder with the configs of what a single-file checkpoint at `key` holds."""
    return CONFIGS / SINGLE_FILES[key][0]


def _check_file(path: Path, key: str) -> None:
    """Checks a single-file checkpoint by its header alone, which is quick for gigabytes too."""
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
    """Returns a folder with the configs of the model's components: for known hub ids and files that of this package.

    Raises:
        ConfigError: as `locate`.
    """
    location = locate(name, key)
    packaged = packaged_configs(key) if is_file(location) else CONFIGS / Path(name).name
    return location if Path(location).is_dir() or not packaged.is_dir() else str(packaged)


def model_fingerprint(name: str, key: str) -> str:
    """Returns the fingerprint of the named model: of its weights and configs, or that it is random and its configs."""
    kind = RANDOM if name.startswith(RANDOM) else ""
    return kind + fingerprint(locate(name, key))


def _packaged() -> str:
    return ", ".join(sorted(path.name for path in CONFIGS.iterdir()))
