"""The architecture of Stable Diffusion XL, as far as it is known without weights. Imports no torch.

Source: Podell et al., SDXL (2023), https://arxiv.org/abs/2307.01952.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fashion_sweep.config.data_source import Size
from fashion_sweep.errors import ConfigError, first_line
from fashion_sweep.models.architecture import (
    Fingerprints,
    Layers,
    Operations,
    Placement,
)
from fashion_sweep.models.pipeline_architecture import TEXT_PLACEMENTS, TEXT_PROJECTIONS, PipelineArchitecture
from fashion_sweep.models.sdxl import cost, export_keys
from fashion_sweep.models.sdxl.card import NAMES, example_code
from fashion_sweep.models.sdxl.config import SDXLConfig
from fashion_sweep.models.sdxl.layers import COMPONENTS, layers_of
from fashion_sweep.models.sdxl.schedule import check_schedules
from fashion_sweep.models.sdxl.sources import SOURCES

if TYPE_CHECKING:
    from fashion_sweep.models.model import Model

FILES = {
    "model.base": "/models/sd_xl_base_1.0.safetensors",
    "model.refiner": "/models/sd_xl_refiner_1.0.safetensors",
    "model.vae": "/models/sdxl_vae.safetensors",
}
"""Example paths for error messages, by key of the config."""


class StableDiffusionXL(PipelineArchitecture):
    """Stable Diffusion XL as an architecture; `models.architecture.Architecture` has the members' contracts."""

    name = "sdxl"
    components = COMPONENTS
    sources = SOURCES
    placements: Mapping[str, Placement] = {
        "unet": Placement("UNet", ("unet",)),
        **TEXT_PLACEMENTS,
    }
    projections: Mapping[str, tuple[str, ...]] = {"unet": ("to_q", "to_k", "to_v", "to_out.0"), **TEXT_PROJECTIONS}
    embedding_keys: Mapping[str, str] = {"text_encoder": "clip_l", "text_encoder_2": "clip_g"}
    sampler, second_title, is_told_sizes, has_snr = "DDIM", "refiner", True, True
    config_class = SDXLConfig
    names = NAMES
    example_code = staticmethod(example_code)
    saved_name, spellings = staticmethod(export_keys.saved_name), staticmethod(export_keys.spellings)
    size_divisor, view_bytes = staticmethod(cost.size_divisor), staticmethod(cost.view_bytes)
    caption_bytes = staticmethod(cost.caption_bytes)
    typical_operations = staticmethod(cost.typical_operations)

    def layers(self, base: str, component: str) -> Layers:
        return layers_of(SOURCES.locate_architecture(base, "model.base"), component)

    def check(self, model: SDXLConfig) -> None:
        for key, name in _names(model, with_refiner=True).items():
            SOURCES.locate(name, key)
        check_schedules(model)

    def fingerprints(self, model: SDXLConfig) -> Fingerprints:
        base = {"base": SOURCES.model_fingerprint(model.base, "model.base")}
        vae = {"vae": SOURCES.model_fingerprint(model.vae, "model.vae")} if model.vae else {}
        refiner = SOURCES.model_fingerprint(model.refiner, "model.refiner") if model.refiner else ""
        return Fingerprints(base | vae, base | {"precision": model.dtype}, loss={}, drawing={"refiner": refiner})

    def operations(self, model: SDXLConfig, size: Size) -> Operations | None:
        from fashion_sweep.models.sdxl.operations import count_operations

        return count_operations(model, size)

    def for_pictures(self, model: SDXLConfig, refine_fraction: float) -> SDXLConfig:
        return model if refine_fraction else self.for_training(model)

    def for_training(self, model: SDXLConfig) -> SDXLConfig:
        return model.model_copy(update={"refiner": None})

    def load(self, config: SDXLConfig, device: str, for_pictures: bool) -> "Model":
        from fashion_sweep.models.sdxl.model import SDXLModel

        try:
            return SDXLModel.load(config, device, for_pictures)
        except (OSError, ValueError) as error:
            names = _names(config, for_pictures)
            which = " or ".join(f"{key} {name}" for key, name in names.items())
            away = [key for key, name in names.items() if not Path(SOURCES.locate(name, key)).exists()]
            remedy = f"give weights that are on disk, for instance --set {away[0]}={FILES[away[0]]}" if away else ""
            raise ConfigError(f"{which} cannot be loaded{remedy and f'; {remedy}'} ({first_line(error)})") from error


def _names(model: SDXLConfig, with_refiner: bool) -> dict[str, str]:
    """Returns the names of all models that are loaded, by key of the config."""
    refiner = model.refiner if with_refiner else None
    named = {"model.base": model.base, "model.refiner": refiner, "model.vae": model.vae}
    return {key: name for key, name in named.items() if name is not None}


SDXL = StableDiffusionXL()
