"""Names of Stable Diffusion XL's layers in files of other tools, for `adapters.formats` and `adapters.reading`.

Key schemes: diffusers, `load_lora_weights`; peft, `PeftModel.from_pretrained`; kohya-ss sd-scripts, whose names are
those of Stability's own checkpoint; kohya's with diffusers' block names; and those of diffusers before peft.
"""

import re

from fashion_sweep.models import clip_keys

BLOCKS_APART = 3
"""The step of Stability's numbering: two layers a block, and one that changes the resolution."""
OUTSIDE_BLOCKS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
}
IN_RESNET = {
    "time_emb_proj": "emb_layers.1",
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def saved_name(component: str, layer: str, file_format: str) -> str | None:
    """Returns the name of a layer in a file of that format, or None where it has none.

    The name comes without the ending that tells the part of the layer.

    Args:
        component: of the model.
        layer: as the component has it, with or without the `text_model.` that depends on transformers' version.
        file_format: `diffusers`, `peft` (a file a component) or `kohya`.
    """
    if file_format == "kohya":
        name = unet_name(layer) if component == "unet" else clip_keys.kohya_name(component, layer)
        return name and name.replace(".", "_")
    name = layer if component == "unet" else clip_keys.full(layer)
    if file_format == "peft":  # the first encoder's own class has no text_model
        return f"base_model.model.{clip_keys.plain(layer) if component == 'text_encoder' else name}"
    return f"{component}.{name}"


def spellings(component: str, layer: str) -> set[str]:
    """Returns every name that a trainer may give the layer in a file."""
    if component != "unet":
        return clip_keys.spellings(component, layer)
    names = {f"unet.{layer}", f"lora_unet_{layer}".replace(".", "_")}
    if inside := re.fullmatch(r"(.+\.attn[12])\.(to_[qkv]|to_out)(\.0)?", layer):
        names.add(f"unet.{inside[1]}.processor.{inside[2]}")  # of the time when diffusers named attention processors
    if name := unet_name(layer):
        names.add(name.replace(".", "_"))
    return names


def unet_name(layer: str) -> str | None:
    """Returns the name of a layer of the UNet in kohya's scheme, with dots; None where it has none.

    Stability numbers the blocks consecutively, each a list of resnet, attention and change of resolution.
    """
    if layer in OUTSIDE_BLOCKS:
        return f"lora_unet_{OUTSIDE_BLOCKS[layer]}"
    if match := re.fullmatch(r"down_blocks\.(\d)\.downsamplers\.0\.conv", layer):
        return f"lora_unet_input_blocks.{(int(match[1]) + 1) * BLOCKS_APART}.0.op"
    if match := re.fullmatch(r"up_blocks\.(\d)\.upsamplers\.0\.conv", layer):
        return f"lora_unet_output_blocks.{(int(match[1]) + 1) * BLOCKS_APART - 1}.2.conv"
    side, block, kind, place, rest = "mid", "0", "", "0", ""
    if match := re.fullmatch(r"(down|up)_blocks\.(\d)\.(attentions|resnets)\.([0-2])\.(.+)", layer):
        side, block, kind, place, rest = match.groups()
    elif match := re.fullmatch(r"mid_block\.(attentions|resnets)\.([01])\.(.+)", layer):
        kind, place, rest = match.groups()
    if kind == "resnets":
        rest = IN_RESNET.get(rest, "")
    if not rest:
        return None
    if side == "mid":
        return f"lora_unet_middle_block.{1 if kind == 'attentions' else 2 * int(place)}.{rest}"
    first = int(block) * BLOCKS_APART + int(place)
    number = f"input_blocks.{first + 1}" if side == "down" else f"output_blocks.{first}"
    return f"lora_unet_{number}.{1 if kind == 'attentions' else 0}.{rest}"
