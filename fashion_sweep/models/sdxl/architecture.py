"""What Stable Diffusion XL is made of, as far as it can be told without weights. Imports no torch.

Source: Podell et al., SDXL (2023), https://arxiv.org/abs/2307.01952.
"""

from collections.abc import Mapping

from fashion_sweep.models.architecture import Layers, Placement
from fashion_sweep.models.sdxl import export_keys
from fashion_sweep.models.sdxl.layers import layers_of
from fashion_sweep.models.sources import locate_architecture

PROJECTIONS = {
    "unet": ("to_q", "to_k", "to_v", "to_out.0"),
    "text_encoder": ("q_proj", "k_proj", "v_proj", "out_proj"),
    "text_encoder_2": ("q_proj", "k_proj", "v_proj", "out_proj"),
}
"""Query, key, value and output of every attention module: what is adapted where a preset names no layers."""


class StableDiffusionXL:
    """See `models.architecture.Architecture` for the members' contracts."""

    name = "sdxl"
    components = ("unet", "text_encoder", "text_encoder_2")
    text_components = ("text_encoder", "text_encoder_2")
    placements: Mapping[str, Placement] = {
        "unet": Placement("UNet", ("unet",)),
        "text_encoder": Placement("text encoder 1", ("text_encoder",)),
        "text_encoder_2": Placement("text encoder 2", ("text_encoder_2",)),
        "text_encoders": Placement("text encoders", ("text_encoder", "text_encoder_2")),
    }

    formats = ("diffusers", "peft", "kohya")

    def target_modules(self, component: str) -> tuple[str, ...]:
        return PROJECTIONS[component]

    def saved_name(self, component: str, layer: str, file_format: str) -> str | None:
        return export_keys.saved_name(component, layer, file_format)

    def spellings(self, component: str, layer: str) -> set[str]:
        return export_keys.spellings(component, layer)

    def layers(self, base: str, component: str) -> Layers:
        return layers_of(locate_architecture(base, "model.base"), component)


SDXL = StableDiffusionXL()
