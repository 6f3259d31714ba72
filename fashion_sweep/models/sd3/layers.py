"""Reads the layers and the size of Stable Diffusion 3's networks off their configs; tests hold them to diffusers'."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashion_sweep.errors import ConfigError
from fashion_sweep.models.architecture import Layers
from fashion_sweep.models.layer_stack import LayerStack, clip_layers, layers_in
from fashion_sweep.storage.files import read_json

if TYPE_CHECKING:
    from torch import nn

COMPONENTS = ("transformer", "text_encoder", "text_encoder_2")
"""The networks that can carry an adapter; T5 carries none in any format."""
DEFAULTS: dict[str, Any] = {
    "patch_size": 2,
    "in_channels": 16,
    "num_layers": 18,
    "attention_head_dim": 64,
    "num_attention_heads": 18,
    "joint_attention_dim": 4096,
    "caption_projection_dim": 1152,
    "pooled_projection_dim": 2048,
    "out_channels": 16,
    "dual_attention_layers": (),
    "qk_norm": None,
}
"""The keys of sizes, with diffusers' defaults."""
KINDS = {"transformer": ("_class_name", "SD3Transformer2DModel"), "text": ("model_type", "clip_text_model")}
"""The key and the value by which a config is known."""
SHAPELESS = {"sample_size", "pos_embed_max_size"}
TIME_WIDTH, MODULATIONS, DUAL_MODULATIONS, LAST_MODULATIONS = 256, 6, 9, 2
"""Of a timestep's sinusoids; how many vectors of the block's width modulate it."""


@lru_cache
def layers_of(folder: str, component: str) -> Layers:
    """Reads the layers off the component's config where all of that is known, else off the network itself.

    Args:
        folder: with at least the configs of the model.
        component: of the model.

    Raises:
        ConfigError: the config is not at hand, or of another network.
    """
    config = read_json(Path(folder) / component / "config.json")
    kind, own = KINDS["transformer" if component == "transformer" else "text"]
    if config is None or config.get(kind) != own:
        raise ConfigError(f"model.base: {folder} has no {component} of a Stable Diffusion 3")
    read = transformer_layers(config) if component == "transformer" else clip_layers(config, projection=True)
    return read or layers_in(network_on_meta(folder, component))


def network_on_meta(folder: str, component: str) -> "nn.Module":
    """Builds the component on the meta device, without memory for its weights."""
    import torch

    with torch.device("meta"):
        if component == "transformer":
            from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

            return SD3Transformer2DModel.from_config(SD3Transformer2DModel.load_config(folder, subfolder=component))
        from transformers.models.clip import CLIPTextConfig, CLIPTextModelWithProjection

        return CLIPTextModelWithProjection(CLIPTextConfig.from_pretrained(folder, subfolder=component))


def transformer_layers(config: dict[str, Any]) -> Layers | None:
    """Returns the layers of the transformer, of whatever size; None where its config says more than is known."""
    keys = {key for key in config if not key.startswith("_")}
    if not keys <= DEFAULTS.keys() | SHAPELESS or config.get("qk_norm") not in (None, "rms_norm"):
        return None
    return _Transformer(DEFAULTS | {key: config[key] for key in keys & DEFAULTS.keys()}).layers


class _Transformer:
    """Adds the layers of a transformer block by block, in their order."""

    def __init__(self, shape: dict[str, Any]) -> None:
        self.shape, self.layers = shape, LayerStack()
        self.head = shape["attention_head_dim"]
        self.width = width = shape["num_attention_heads"] * self.head
        patch, outputs = shape["patch_size"], shape["out_channels"] or shape["in_channels"]
        self.layers.add_convolution("pos_embed.proj", shape["in_channels"], width, kernel=patch)
        self._embedder("time_text_embed.timestep_embedder", TIME_WIDTH)
        self._embedder("time_text_embed.text_embedder", shape["pooled_projection_dim"])
        self.layers.add_linear("context_embedder", shape["joint_attention_dim"], shape["caption_projection_dim"])
        for index in range(shape["num_layers"]):
            self._block(f"transformer_blocks.{index}", index)
        self.layers.add_linear("norm_out.linear", width, 2 * width)
        self.layers.add_linear("proj_out", width, patch * patch * outputs)

    def _embedder(self, name: str, width: int) -> None:
        self.layers.add_linear(f"{name}.linear_1", width, self.width)
        self.layers.add_linear(f"{name}.linear_2", self.width, self.width)

    def _block(self, name: str, index: int) -> None:
        """Adds a block on two streams, of the image and of the text, whose last one ends with the image's alone."""
        is_last, is_dual = index == self.shape["num_layers"] - 1, index in self.shape["dual_attention_layers"]
        self._modulation(f"{name}.norm1", DUAL_MODULATIONS if is_dual else MODULATIONS)
        self._modulation(f"{name}.norm1_context", LAST_MODULATIONS if is_last else MODULATIONS)
        self._attention(f"{name}.attn", ("to_q", "to_k", "to_v", "add_k_proj", "add_v_proj", "add_q_proj", "to_out.0"))
        if not is_last:
            self.layers.add_linear(f"{name}.attn.to_add_out", self.width, self.width)
        if is_dual:
            self._attention(f"{name}.attn2", ("to_q", "to_k", "to_v", "to_out.0"))
        for stream in ("ff",) if is_last else ("ff", "ff_context"):
            self.layers.add_linear(f"{name}.{stream}.net.0.proj", self.width, 4 * self.width)
            self.layers.add_linear(f"{name}.{stream}.net.2", 4 * self.width, self.width)

    def _modulation(self, name: str, vectors: int) -> None:
        self.layers.add_linear(f"{name}.linear", self.width, vectors * self.width)

    def _attention(self, name: str, projections: tuple[str, ...]) -> None:
        for projection in projections:
            self.layers.add_linear(f"{name}.{projection}", self.width, self.width)
        if self.shape["qk_norm"]:  # of queries and keys of each stream, without a bias
            self.layers.parameters += 2 * self.head * (2 if "add_q_proj" in projections else 1)
