"""SDXL weights in the key scheme of the original single-file checkpoints, from the scheme of diffusers.

Source: scripts/convert_diffusers_to_original_sdxl.py of diffusers, for any number of blocks.
"""

import torch
from torch import Tensor, nn

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3"}
RESNET |= {"time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection"}
UNET = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.resnets.1": "middle_block.2",
}
OPEN_CLIP = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
OPEN_CLIP |= {"self_attn.out_proj": "attn.out_proj"}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def whole(pipeline) -> dict[str, Tensor]:
    """All weights of a base or refiner pipeline as one checkpoint holds them."""
    tensors = prefixed("model.diffusion_model.", unet(pipeline.unet))
    tensors |= prefixed("first_stage_model.", vae(pipeline.vae))
    number = 0
    if pipeline.text_encoder is not None:
        tensors |= prefixed("conditioner.embedders.0.transformer.text_model.", clip_l(pipeline.text_encoder))
        number = 1
    return tensors | prefixed(f"conditioner.embedders.{number}.model.", open_clip(pipeline.text_encoder_2))


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor.contiguous().clone() for name, tensor in tensors.items()}


def unet(model: nn.Module) -> dict[str, Tensor]:
    names, down, up = dict(UNET), 0, 0
    for i, block in enumerate(model.down_blocks):
        for j in range(len(block.resnets)):
            down += 1
            names[f"down_blocks.{i}.resnets.{j}"] = f"input_blocks.{down}.0"
            names[f"down_blocks.{i}.attentions.{j}"] = f"input_blocks.{down}.1"
        down += 1
        names[f"down_blocks.{i}.downsamplers.0.conv"] = f"input_blocks.{down}.0.op"
    for i, block in enumerate(model.up_blocks):
        for j in range(len(block.resnets)):
            names[f"up_blocks.{i}.resnets.{j}"] = f"output_blocks.{up}.0"
            names[f"up_blocks.{i}.attentions.{j}"] = f"output_blocks.{up}.1"
            up += 1
        place = 2 if hasattr(block, "attentions") else 1
        names[f"up_blocks.{i}.upsamplers.0.conv"] = f"output_blocks.{up - 1}.{place}.conv"
    return {renamed(name, names, RESNET, "resnets"): tensor for name, tensor in model.state_dict().items()}


def renamed(name: str, whole_names: dict[str, str], parts: dict[str, str], within: str) -> str:
    for old, new in whole_names.items():
        if name.startswith(f"{old}."):
            rest = name.removeprefix(old)
            if within in old:
                for part, other in parts.items():
                    rest = rest.replace(f".{part}.", f".{other}.")
            return new + rest
    raise AssertionError(name)


def vae(model: nn.Module) -> dict[str, Tensor]:
    count, tensors = len(model.encoder.down_blocks), {}
    for name, tensor in model.state_dict().items():
        new = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        for i in range(count):
            new = new.replace(f"down_blocks.{i}.resnets.", f"down.{i}.block.")
            new = new.replace(f"down_blocks.{i}.downsamplers.0.", f"down.{i}.downsample.")
            new = new.replace(f"up_blocks.{i}.resnets.", f"up.{count - 1 - i}.block.")
            new = new.replace(f"up_blocks.{i}.upsamplers.0.", f"up.{count - 1 - i}.upsample.")
        new = new.replace("mid_block.resnets.0.", "mid.block_1.").replace("mid_block.resnets.1.", "mid.block_2.")
        if "mid_block.attentions.0." in new:
            new = new.replace("mid_block.attentions.0.", "mid.attn_1.")
            for old, other in VAE_ATTENTION.items():
                new = new.replace(f".{old}.", f".{other}.")
            tensor = tensor[..., None, None] if tensor.ndim == 2 else tensor
        tensors[new] = tensor
    return tensors


def clip_l(model: nn.Module) -> dict[str, Tensor]:
    return {name.removeprefix("text_model."): tensor for name, tensor in model.state_dict().items()}


def open_clip(model: nn.Module) -> dict[str, Tensor]:
    state = {name.removeprefix("text_model."): tensor for name, tensor in model.state_dict().items()}
    tensors = {
        "positional_embedding": state["embeddings.position_embedding.weight"],
        "token_embedding.weight": state["embeddings.token_embedding.weight"],
        "ln_final.weight": state["final_layer_norm.weight"],
        "ln_final.bias": state["final_layer_norm.bias"],
        "text_projection": state["text_projection.weight"].T,
    }
    for name, tensor in state.items():
        if not name.startswith("encoder.layers."):
            continue
        new = name.replace("encoder.layers.", "transformer.resblocks.")
        for old, other in OPEN_CLIP.items():
            new = new.replace(old, other)
        if "self_attn" not in new:
            tensors[new] = tensor
        elif ".q_proj." in new:
            parts = [state[name.replace("q_proj", part)] for part in ("q_proj", "k_proj", "v_proj")]
            tensors[new.replace("self_attn.q_proj.", "attn.in_proj_")] = torch.cat(parts)
    return tensors
