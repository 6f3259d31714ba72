"""Names of the layers of CLIP's text encoders in adapter files of different tools, as several families have them."""

import re
from collections.abc import Mapping

UNDERSCORED: Mapping[str, tuple[str, ...]] = {
    "text_encoder": ("lora_te1_", "lora_te_"),
    "text_encoder_2": ("lora_te2_",),
}
"""The prefixes of kohya's names, by component; the first is the one that is written."""
OLD_ATTENTION = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}


def plain(layer: str) -> str:
    """Strips the `text_model.` that layers have in some versions of transformers."""
    return layer.removeprefix("text_model.")


def full(layer: str) -> str:
    """Adds the `text_model.` that every version of diffusers and ComfyUI reads; the projection has none."""
    return layer if layer == "text_projection" else f"text_model.{plain(layer)}"


def kohya_name(component: str, layer: str) -> str | None:
    """Returns the name of a layer in kohya's scheme, with dots; None where it has none."""
    inside = re.fullmatch(r"encoder\.layers\.\d+\.(self_attn|mlp)\.\w+", plain(layer))
    return f"{UNDERSCORED[component][0]}text_model.{inside[0]}" if inside else None


def spellings(component: str, layer: str) -> set[str]:
    """Returns every name that a trainer may give the layer in a file."""
    layers = {plain(layer), layer, f"text_model.{plain(layer)}"}
    names = {f"{component}.{name}" for name in layers}
    head, _, last = plain(layer).rpartition(".")
    if last in OLD_ATTENTION:  # of the time when diffusers named attention processors
        names.add(f"{component}.text_model.{head}.{OLD_ATTENTION[last]}")
    underscored = layers - {plain(layer)}
    return names | {f"{prefix}{name}".replace(".", "_") for prefix in UNDERSCORED[component] for name in underscored}
