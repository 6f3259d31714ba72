"""Reads the layers and the size of SDXL's networks off their configs.

Building them on the meta device gives the same, but importing diffusers and transformers takes seconds. A network whose
config holds anything that this module does not know is built. The tests hold the two ways equal.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashion_sweep.models.architecture import Layers
from fashion_sweep.models.layer_stack import LayerStack, clip_layers, layers_in
from fashion_sweep.storage.files import read_json

if TYPE_CHECKING:
    from torch import nn

Config = Mapping[str, Any]
COMPONENTS = ("unet", "text_encoder", "text_encoder_2")
"""The networks that can carry an adapter."""

UNET_DEFAULTS: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 2,
    "cross_attention_dim": 1280,
    "transformer_layers_per_block": 1,
    "use_linear_projection": False,
    "attention_head_dim": 8,  # numbers of heads, whatever the name says
}
"""The keys of sizes, with diffusers' defaults. One number stands for as many as there are blocks."""
UNET_NEEDED = {"block_out_channels", "down_block_types", "up_block_types", "projection_class_embeddings_input_dim"}
UNET_FIXED: dict[str, Any] = {
    "addition_embed_type": "text_time",
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "attention_type": "default",
    "resnet_time_scale_shift": "default",
    "time_embedding_type": "positional",
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "class_embeddings_concat": False,
    "dual_cross_attention": False,
    "only_cross_attention": False,
    "mid_block_only_cross_attention": None,
} | dict.fromkeys(
    (
        *("class_embed_type", "cross_attention_norm", "encoder_hid_dim", "encoder_hid_dim_type", "num_class_embeds"),
        *("num_attention_heads", "reverse_transformer_layers_per_block", "time_cond_proj_dim", "time_embedding_dim"),
    )
)
"""The keys that add or change layers at other values than these."""
UNET_SHAPELESS = {
    *("sample_size", "center_input_sample", "flip_sin_to_cos", "freq_shift", "downsample_padding", "dropout", "act_fn"),
    *("mid_block_scale_factor", "norm_num_groups", "norm_eps", "addition_time_embed_dim", "upcast_attention"),
    *("resnet_skip_time_act", "resnet_out_scale_factor", "time_embedding_act_fn", "timestep_post_act"),
    "addition_embed_type_num_heads",
}
"""The keys that no layer's size depends on; activations must be of `_ACTIVATIONS`, which have no parameters."""
_ACTIVATIONS = {"silu", "swish", "mish", "gelu", "relu", None}
DOWN_BLOCKS = {"DownBlock2D": False, "CrossAttnDownBlock2D": True}
UP_BLOCKS = {"UpBlock2D": False, "CrossAttnUpBlock2D": True}
"""The known up blocks, and whether they have attention; `DOWN_BLOCKS` has the down blocks."""


@lru_cache
def layers_of(folder: str, component: str) -> Layers:
    """Reads the layers off the component's config where that is SDXL's, in milliseconds; else off the network itself.

    Args:
        folder: with at least the configs of the model.
        component: of the model.
    """
    config = read_json(Path(folder) / component / "config.json")
    read = None
    if config is not None:
        read = unet_layers(config) if component == "unet" else clip_layers(config, component == "text_encoder_2")
    return read or layers_in(network_on_meta(folder, component))


def network_on_meta(folder: str, component: str) -> "nn.Module":
    """Builds the component on the meta device, without memory for its weights."""
    import torch

    with torch.device("meta"):
        if component == "unet":
            from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

            return UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(folder, subfolder="unet"))
        from transformers.models.clip import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

        family = CLIPTextModelWithProjection if component == "text_encoder_2" else CLIPTextModel
        return family(CLIPTextConfig.from_pretrained(folder, subfolder=component))


def unet_layers(config: Config) -> Layers | None:
    """Returns the layers of SDXL's UNet, of whatever size; None where the config is of another network."""
    shape = _unet_shape(config)
    return None if shape is None else _UNet(shape).layers


def _unet_shape(config: Config) -> dict[str, Any] | None:
    """Returns the sizes of the UNet, each a list with one value per block where blocks may differ; None: not SDXL's."""
    keys = {key for key in config if not key.startswith("_")}
    known = UNET_NEEDED | UNET_DEFAULTS.keys() | UNET_FIXED.keys() | UNET_SHAPELESS
    if not UNET_NEEDED <= keys <= known or "addition_embed_type" not in keys:
        return None
    if any(config.get(key, value) != value for key, value in UNET_FIXED.items()) or not config.get(
        "norm_num_groups", 1
    ):
        return None
    if not {config.get(key) for key in ("act_fn", "time_embedding_act_fn", "timestep_post_act")} <= _ACTIVATIONS:
        return None
    shape = UNET_DEFAULTS | {key: config[key] for key in keys & (UNET_NEEDED | UNET_DEFAULTS.keys())}
    count = len(shape["block_out_channels"])
    for key in ("layers_per_block", "cross_attention_dim", "transformer_layers_per_block", "attention_head_dim"):
        shape[key] = [shape[key]] * count if isinstance(shape[key], int) else list(shape[key])
        if len(shape[key]) != count or not all(isinstance(value, int) for value in shape[key]):
            return None
    types = (shape["down_block_types"], DOWN_BLOCKS), (shape["up_block_types"], UP_BLOCKS)
    if any(len(names) != count or not set(names) <= known_names.keys() for names, known_names in types):
        return None
    return shape


class _UNet:
    """Adds the layers of a UNet block by block, in their order."""

    def __init__(self, shape: dict[str, Any]) -> None:
        self.shape, self.layers = shape, LayerStack()
        widths = shape["block_out_channels"]
        self.time_width = 4 * widths[0]
        self.layers.add_convolution("conv_in", shape["in_channels"], widths[0])
        self._embedding("time_embedding", widths[0])
        self._embedding("add_embedding", shape["projection_class_embeddings_input_dim"])
        self._down(widths)
        self._resnet("mid_block.resnets.0", widths[-1], widths[-1])
        self._attention("mid_block.attentions.0", len(widths) - 1)
        self._resnet("mid_block.resnets.1", widths[-1], widths[-1])
        self._up(widths)
        self.layers.add_norm(widths[0])
        self.layers.add_convolution("conv_out", widths[0], shape["out_channels"])

    def _embedding(self, name: str, width: int) -> None:
        self.layers.add_linear(f"{name}.linear_1", width, self.time_width)
        self.layers.add_linear(f"{name}.linear_2", self.time_width, self.time_width)

    def _down(self, widths: list[int]) -> None:
        before = widths[0]
        for block, width in enumerate(widths):
            for index in range(self.shape["layers_per_block"][block]):
                self._resnet(f"down_blocks.{block}.resnets.{index}", before if index == 0 else width, width)
                if DOWN_BLOCKS[self.shape["down_block_types"][block]]:
                    self._attention(f"down_blocks.{block}.attentions.{index}", block)
            if block < len(widths) - 1:
                self.layers.add_convolution(f"down_blocks.{block}.downsamplers.0.conv", width, width)
            before = width

    def _up(self, widths: list[int]) -> None:
        """Adds the up blocks: each residual block also takes what the way down kept."""
        before = widths[-1]
        for block in range(len(widths)):
            level = len(widths) - 1 - block
            width, last_kept = widths[level], widths[max(level - 1, 0)]
            count = self.shape["layers_per_block"][level] + 1
            for index in range(count):
                kept = last_kept if index == count - 1 else width
                self._resnet(f"up_blocks.{block}.resnets.{index}", (width if index else before) + kept, width)
                if UP_BLOCKS[self.shape["up_block_types"][block]]:
                    self._attention(f"up_blocks.{block}.attentions.{index}", level)
            if level:
                self.layers.add_convolution(f"up_blocks.{block}.upsamplers.0.conv", width, width)
            before = width

    def _resnet(self, name: str, width_in: int, width_out: int) -> None:
        self.layers.add_norm(width_in)
        self.layers.add_convolution(f"{name}.conv1", width_in, width_out)
        self.layers.add_linear(f"{name}.time_emb_proj", self.time_width, width_out)
        self.layers.add_norm(width_out)
        self.layers.add_convolution(f"{name}.conv2", width_out, width_out)
        if width_in != width_out:
            self.layers.add_convolution(f"{name}.conv_shortcut", width_in, width_out, kernel=1)

    def _attention(self, name: str, level: int) -> None:
        """Adds a transformer on the level's width, rounded down to a multiple of its heads."""
        width, heads = self.shape["block_out_channels"][level], self.shape["attention_head_dim"][level]
        inner, text = width // heads * heads, self.shape["cross_attention_dim"][level]
        self.layers.add_norm(width)
        self._projection(f"{name}.proj_in", width, inner)
        for index in range(self.shape["transformer_layers_per_block"][level]):
            block = f"{name}.transformer_blocks.{index}"
            for part, context in (("attn1", inner), ("attn2", text)):
                self.layers.add_norm(inner)
                for projection, source in (("to_q", inner), ("to_k", context), ("to_v", context)):
                    self.layers.add_linear(f"{block}.{part}.{projection}", source, inner, bias=False)
                self.layers.add_linear(f"{block}.{part}.to_out.0", inner, inner)
            self.layers.add_norm(inner)
            self.layers.add_linear(f"{block}.ff.net.0.proj", inner, 8 * inner)
            self.layers.add_linear(f"{block}.ff.net.2", 4 * inner, inner)
        self._projection(f"{name}.proj_out", inner, width)

    def _projection(self, name: str, width_in: int, width_out: int) -> None:
        if self.shape["use_linear_projection"]:
            self.layers.add_linear(name, width_in, width_out)
        else:
            self.layers.add_convolution(name, width_in, width_out, kernel=1)
