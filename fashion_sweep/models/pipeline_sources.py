"""Locates the weights and configs of a family of diffusers' pipelines: folders, single files, packaged configs."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from fashion_sweep.config.model_config import RANDOM
from fashion_sweep.errors import ConfigError
from fashion_sweep.models import sources
from fashion_sweep.models.sources import SUFFIX, fingerprint, is_file
from fashion_sweep.storage.files import read_json

WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_)?model(?:-\d+-of-\d+)?(?:\.(?P<variant>\w+?))?(?:-\d+-of-\d+)?\.safetensors"
)
"""The files of a component's weights: plain, or of a variant such as `fp16`, each whole or in numbered parts."""

REDUCTION = 8
"""Of height and width by an autoencoder whose config is not at hand."""


@dataclass(frozen=True)
class PipelineSources:
    """The sources of one family's models, each named by a preset at some key such as `model.base`."""

    title: str
    """The name of the family in messages."""
    parts: Mapping[str, tuple[str, str]]
    """The library, and a pattern of the class, of each part that a pipeline's folder may hold."""
    configs: Path
    """The folder of configs, without weights, of models on the hub, in folders of their names."""
    single_files: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """By key, the architecture of a single-file checkpoint, and a tensor by which one is known."""

    def locate(self, name: str, key: str) -> str:
        """Locates as `sources.locate`, and checks local files; for `random:<name>` a folder with configs.

        Raises:
            ConfigError: as `sources.locate`, or it is of another family.
        """
        if name.startswith(RANDOM):
            real = name.removeprefix(RANDOM)
            packaged = self.configs / real
            folder = packaged if packaged.is_dir() else Path(self.locate_architecture(real, key))
            if not (folder / "model_index.json").is_file():
                known = ", ".join(sorted(path.name for path in self.configs.iterdir()))
                raise ConfigError(f"{key}: {name!r} can be built from a folder with configs alone, or from {known}")
            return str(folder)
        location = sources.locate(name, key)
        if Path(location).is_dir():
            self.check_parts(name, key, read_json(Path(location) / "model_index.json", {}))
        elif Path(location).is_file():
            self._check_file(Path(location), key)
        return location

    def check_parts(self, name: str, key: str, index: Any) -> None:
        """Checks that `model_index.json` names the family's parts alone: diffusers imports whatever module it names.

        Raises:
            ConfigError: it names something that is no part of the family.
        """
        if not isinstance(index, dict):
            raise ConfigError(f"{key}: the model_index.json of {name} holds no parts of a pipeline")
        for part, entry in index.items():
            if (part not in self.parts and not isinstance(entry, list)) or entry == [None, None]:
                continue
            library, pattern = self.parts.get(part, ("", ""))
            named = entry if isinstance(entry, list) and len(entry) == 2 else ["", ""]
            if named[0] != library or not re.fullmatch(pattern, str(named[1])):
                wanted = ".".join(map(str, entry)) if isinstance(entry, list) else entry
                raise ConfigError(f"{key}: {name} wants {wanted} for its {part}, which is no part of a {self.title}")

    def packaged_configs(self, key: str) -> Path:
        """Returns the folder with the configs of what a single-file checkpoint at `key` holds."""
        return self.configs / self.single_files[key][0]

    def locate_architecture(self, name: str, key: str) -> str:
        """Returns a folder with the configs of the model's components: for known hub ids and files of this package.

        Raises:
            ConfigError: as `locate`.
        """
        location = self.locate(name, key)
        packaged = self.packaged_configs(key) if is_file(location) else self.configs / Path(name).name
        return location if Path(location).is_dir() or not packaged.is_dir() else str(packaged)

    def number(self, base: str, component: str, key: str, usual: int) -> int:
        """Returns a number of the config of a component of the model at `model.base`; `usual` if not at hand."""
        return int(self._component_config(base, component).get(key, usual))

    def reduction(self, base: str) -> int:
        """Returns by how much the autoencoder of the model at `model.base` reduces height and width."""
        blocks = self._component_config(base, "vae").get("block_out_channels")
        return int(2 ** (len(blocks) - 1)) if blocks else REDUCTION

    def model_fingerprint(self, name: str, key: str) -> str:
        """Returns the fingerprint of the named model: of weights and configs, or of configs and that it is random."""
        kind = RANDOM if name.startswith(RANDOM) else ""
        return kind + fingerprint(self.locate(name, key))

    def _component_config(self, base: str, component: str) -> dict[str, Any]:
        """Returns the config of a component of the model at `model.base`; empty if it is not at hand."""
        config: dict[str, Any] = read_json(
            Path(self.locate_architecture(base, "model.base")) / component / "config.json", {}
        )
        return config

    def _check_file(self, path: Path, key: str) -> None:
        """Checks a single-file checkpoint by its header alone, which is quick for gigabytes too."""
        if key not in self.single_files:
            raise ConfigError(f"{key}: {path} is a file; a {self.title} is read from a folder")
        if path.suffix != SUFFIX:
            raise ConfigError(f"{key}: {path} is a file that cannot be read; give a folder, or a {SUFFIX} checkpoint")
        architecture, tensor = self.single_files[key]
        try:
            with safe_open(path, "np") as file:
                names = set(file.keys())
        except (SafetensorError, OSError) as error:
            raise ConfigError(f"{key}: {path} is no whole {SUFFIX} file ({error})") from error
        if not any(name.endswith(tensor) for name in names):
            kind = "autoencoder" if key == "model.vae" else f"single-file checkpoint of {architecture}"
            raise ConfigError(f"{key}: {path} holds no {kind}: it has no tensor {tensor}")


def variant_of(files: Iterable[Path]) -> str | None:
    """Returns the variant of the weights to load: None where every folder has plain ones."""
    variants_in: dict[Path, set[str | None]] = {}
    for file in files:
        if parts := WEIGHTS.fullmatch(file.name):
            variants_in.setdefault(file.parent, set()).add(parts["variant"])
    named = {str(variant) for variants in variants_in.values() if None not in variants for variant in variants}
    return "fp16" if "fp16" in named else min(named, default=None)
