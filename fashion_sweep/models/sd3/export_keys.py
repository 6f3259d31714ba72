"""Names of Stable Diffusion 3's layers in files of other tools, for `adapters.formats` and `adapters.reading`.

Key schemes: diffusers, `load_lora_weights`; peft, `PeftModel.from_pretrained`; and what `kohya` stands for here, names
with underscores and an alpha for each layer as OneTrainer writes them and ComfyUI reads them. sd-scripts' own files of
this family have query, key and value as one layer, so that three adapters of them have no name there.
"""

from fashion_sweep.models import clip_keys

PREFIXES = ("lora_transformer_", "lycoris_")
"""Of names with underscores; the first is the one that is written."""


def saved_name(component: str, layer: str, file_format: str) -> str | None:
    """Returns the name of a layer in a file of that format, or None where it has none.

    The name comes without the ending that tells the part of the layer.

    Args:
        component: of the model.
        layer: as the component has it.
        file_format: `diffusers`, `peft` (a file a component) or `kohya`.
    """
    is_text = component != "transformer"
    if file_format == "kohya":
        name = clip_keys.kohya_name(component, layer) if is_text else f"{PREFIXES[0]}{layer}"
        return name and name.replace(".", "_")
    name = clip_keys.full(layer) if is_text else layer
    return f"base_model.model.{name}" if file_format == "peft" else f"{component}.{name}"


def spellings(component: str, layer: str) -> set[str]:
    """Returns every name that a trainer may give the layer in a file."""
    if component != "transformer":
        return clip_keys.spellings(component, layer)
    return {f"transformer.{layer}", *(f"{prefix}{layer}".replace(".", "_") for prefix in PREFIXES)}


def part_name(layer: str) -> str:
    """Returns a layer's name for sweeps: blocks are `blocks`, and the text stream's attention is `add_attn`."""
    name = layer.replace("transformer_blocks.", "blocks.", 1)
    for own, streams in (("add_q_proj", "q_proj"), ("add_k_proj", "k_proj"), ("add_v_proj", "v_proj")):
        name = name.replace(f".attn.{own}", f".add_attn.{streams}")
    return name.replace(".attn.to_add_out", ".add_attn.to_out")
