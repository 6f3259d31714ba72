"""Reads the layers and the size of networks off their configs, as far as several families have the same ones."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fashion_sweep.models.architecture import Layers

if TYPE_CHECKING:
    from torch import nn

CLIP_DEFAULTS = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "projection_dim": 512,
    "num_hidden_layers": 12,
    "max_position_embeddings": 77,
}


class LayerStack(Layers):
    """The layers of a network, added one by one."""

    def add_linear(self, name: str, width_in: int, width_out: int, bias: bool = True) -> None:
        self.shapes[name] = (width_out, width_in)
        self.parameters += width_in * width_out + bias * width_out

    def add_convolution(self, name: str, width_in: int, width_out: int, kernel: int = 3) -> None:
        self.shapes[name] = (width_out, width_in, kernel, kernel)
        self.parameters += width_in * width_out * kernel**2 + width_out

    def add_norm(self, width: int) -> None:
        self.parameters += 2 * width


def layers_in(network: "nn.Module") -> Layers:
    """Returns the layers of a network as its library built it, be it on the meta device."""
    from torch import nn

    parted = dict[bool, dict[str, tuple[int, ...]]]()
    for name, layer in network.named_modules():
        is_of_words = isinstance(layer, nn.Embedding) and name.endswith("token_embedding")
        if is_of_words or isinstance(layer, nn.Linear | nn.Conv2d):
            parted.setdefault(is_of_words, {})[name] = tuple(layer.weight.shape)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Layers(parted.get(False, {}), parameters, parted.get(True, {}))


def clip_layers(config: Mapping[str, Any], projection: bool) -> Layers | None:
    """Returns the layers of CLIP's text encoder, or None where it is another's.

    `projection`: with the layer for the pooled embedding.
    """
    sizes = {key: config.get(key, default) for key, default in CLIP_DEFAULTS.items()}
    if config.get("model_type") != "clip_text_model" or not all(isinstance(value, int) for value in sizes.values()):
        return None
    width, layers = sizes["hidden_size"], LayerStack()
    layers.embeddings["embeddings.token_embedding"] = (sizes["vocab_size"], width)
    layers.parameters += (sizes["vocab_size"] + sizes["max_position_embeddings"]) * width
    for index in range(sizes["num_hidden_layers"]):
        name = f"encoder.layers.{index}"
        for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
            layers.add_linear(f"{name}.self_attn.{part}", width, width)
        layers.add_norm(width)
        layers.add_linear(f"{name}.mlp.fc1", width, sizes["intermediate_size"])
        layers.add_linear(f"{name}.mlp.fc2", sizes["intermediate_size"], width)
        layers.add_norm(width)
    layers.add_norm(width)
    if projection:
        layers.add_linear("text_projection", width, sizes["projection_dim"], bias=False)
    return layers
