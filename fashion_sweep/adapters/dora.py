"""DoRA: LoRA on the direction of each row of a weight, with a trained length per row. Imports torch only when used.

Source: Liu et al., DoRA (2024), https://arxiv.org/abs/2402.09353; the weight is m (W + s B A) / |W + s B A|, with
a norm for each output and s = lora_alpha / rank.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fashion_sweep.adapters.kind import LayerTensors
from fashion_sweep.adapters.lora import IN_MODULES, SPELLINGS, Lora, LoraOptions
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn


class Dora(Lora):
    """DoRA as a kind of adapter; `adapters.kind.AdapterKind` has the members' contracts."""

    name, title = "dora", "DoRA"
    formats: Mapping[str, Mapping[str, str]] = {
        "diffusers": IN_MODULES | {"magnitude": "lora_magnitude_vector.weight"},
        "peft": IN_MODULES | {"magnitude": "lora_magnitude_vector"},
    }
    """The endings of tensors' names by file format. Kohya's is left out: where its readers take a norm for each output,
    it is that of W alone. transformers 5 reads the magnitudes of a diffusers file by their whole name."""
    spellings = SPELLINGS | {"magnitude": (".lora_magnitude_vector", ".lora_magnitude_vector.weight", ".dora_scale")}
    settings = ("use_dora",)
    peft: Mapping[str, Any] = {"use_dora": True}

    def tag(self, options: LoraOptions) -> str:
        return f"dora-{super().tag(options)}"

    def label(self, options: LoraOptions) -> str:
        return f"DoRA {super().label(options)}"

    def count(self, layers: Mapping[str, tuple[int, ...]], options: LoraOptions) -> int:
        return super().count(layers, options) + sum(outputs for outputs, *_ in layers.values())

    def attach(
        self,
        module: "nn.Module",
        component: str,
        layers: Mapping[str, LoraOptions],
        training: TrainingConfig,
        seed: int,
        tokens: Callable[[str], Sequence[int]] | None = None,
    ) -> "dict[str, nn.Parameter]":
        import torch

        from fashion_sweep.adapters import low_rank

        parameters = super().attach(module, component, layers, training, seed)
        for name, parameter in parameters.items():
            layer, is_magnitude, _ = name.removeprefix(f"{component}.").partition(".lora_magnitude_vector.")
            if is_magnitude:  # in float32, as the forward pass takes the norm: their quotient is exactly 1
                weight = low_rank.weight_before(module.get_submodule(layer))
                norms = torch.linalg.norm(weight.float().flatten(1), dim=1)
                parameter.data = norms.reshape(parameter.shape)
        return parameters

    def needs_plain_weights(self, options: LoraOptions, quantization: str) -> str | None:
        lost = "as peft's DoRA loses the scales of 8-bit weights" if quantization == "int8" else None
        return lost or super().needs_plain_weights(options, quantization)

    def check_shapes(
        self,
        layer: str,
        keys: Mapping[str, str],
        shapes: Mapping[str, tuple[int, ...]],
        weight: tuple[int, ...],
    ) -> None:
        super().check_shapes(layer, keys, shapes, weight)
        outputs, inputs, rest = weight[0], weight[1], (1,) * (len(weight) - 2)
        shape = shapes.get("magnitude")
        if shape is not None and shape not in ((outputs,), (outputs, 1, *rest), (1, inputs, *rest)):
            raise ConfigError(
                f"{keys['magnitude']} has the shape {[*shape]}, for which a layer of {weight} has no place"
            )

    def combined(self, weight: "Tensor", layer: LayerTensors, strength: float) -> "Tensor":
        return _turned(weight, layer, strength)


def _turned(weight: "Tensor", layer: LayerTensors, strength: float) -> "Tensor":
    """Returns the weight with the adapter, computed in float32.

    Strength 1 gives the weight that training ended with; others lie on the line from the base weight to it and beyond.
    Magnitudes belong to the outputs, or in some trainers' files to the inputs: to the axis that they are long on.
    """
    import torch

    from fashion_sweep.adapters import low_rank

    magnitude = layer.tensors["magnitude"].to(weight.device, torch.float32)
    if magnitude.ndim == 1:
        magnitude = magnitude.view(-1, *[1] * (weight.ndim - 1))
    base = weight.float()
    direction = base + low_rank.product(base, layer, low_rank.scale(layer))
    axes = [axis for axis, size in enumerate(magnitude.shape) if size == 1]
    turned = magnitude / torch.linalg.vector_norm(direction, dim=axes, keepdim=True) * direction
    return (turned if strength == 1 else base + strength * (turned - base)).to(weight.dtype)


DORA = Dora()
