"""The architecture of Stable Diffusion 3 and 3.5, as far as it is known without weights. Imports no torch.

Source: Esser et al., Scaling rectified flow transformers (2024), https://arxiv.org/abs/2403.03206.
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
from fashion_sweep.models.sd3 import cost, export_keys
from fashion_sweep.models.sd3.card import NAMES, example_code
from fashion_sweep.models.sd3.config import T5, SD3Config
from fashion_sweep.models.sd3.layers import COMPONENTS, layers_of
from fashion_sweep.models.sd3.sources import SOURCES

if TYPE_CHECKING:
    from fashion_sweep.models.model import Model


class StableDiffusion3(PipelineArchitecture):
    """Stable Diffusion 3 as an architecture; `models.architecture.Architecture` has the members' contracts."""

    name = "sd3"
    components = COMPONENTS
    sources = SOURCES
    placements: Mapping[str, Placement] = {
        "transformer": Placement("transformer", ("transformer",)),
        **TEXT_PLACEMENTS,
    }
    projections: Mapping[str, tuple[str, ...]] = {
        "transformer": (
            *("to_q", "to_k", "to_v", "to_out.0"),
            *("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"),
        ),
        **TEXT_PROJECTIONS,
    }
    sampler = "Euler"
    config_class = SD3Config
    names = NAMES
    example_code = staticmethod(example_code)
    saved_name, spellings = staticmethod(export_keys.saved_name), staticmethod(export_keys.spellings)
    size_divisor, view_bytes = staticmethod(cost.size_divisor), staticmethod(cost.view_bytes)
    caption_bytes, typical_operations = staticmethod(cost.caption_bytes), staticmethod(cost.typical_operations)

    def part_name(self, component: str, layer: str) -> str:
        return export_keys.part_name(layer) if component == "transformer" else layer

    def layers(self, base: str, component: str) -> Layers:
        return layers_of(SOURCES.locate_architecture(base, "model.base"), component)

    def check(self, model: SD3Config) -> None:
        location = Path(SOURCES.locate(model.base, "model.base"))
        if model.reads_t5 and location.is_dir() and not (location / T5 / "config.json").is_file():
            raise ConfigError(f"model.t5: {model.base} has no {T5}; set it to false")

    def fingerprints(self, model: SD3Config) -> Fingerprints:
        base = {"base": SOURCES.model_fingerprint(model.base, "model.base")}
        t5 = f"{model.max_sequence_length} {'tokens' if model.t5 else 'zeros'}"
        text = {**base, "precision": model.dtype, "t5": t5}
        shift = {"shift": str(model.shift)}
        levels = shift | {"levels": f"{model.logit_mean} {model.logit_std}"}
        return Fingerprints(base, text, loss=levels, drawing=shift)

    def operations(self, model: SD3Config, size: Size) -> Operations | None:
        from fashion_sweep.models.sd3.operations import count_operations

        return count_operations(model, size)

    def load(self, config: SD3Config, device: str, for_pictures: bool) -> "Model":
        from fashion_sweep.models.sd3.model import SD3Model

        try:
            return SD3Model.load(config, device)
        except (OSError, ValueError) as error:
            is_away = not Path(self.locate(config.base)).exists()
            remedy = "; give weights that are on disk, for instance --set model.base=/models/sd3.5" if is_away else ""
            raise ConfigError(f"model.base {config.base} cannot be loaded{remedy} ({first_line(error)})") from error


SD3 = StableDiffusion3()
