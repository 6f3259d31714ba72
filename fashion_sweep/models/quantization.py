"""Rounds the frozen linear layers of a model to 4 or 8 bits a weight, by bitsandbytes, and tells their weights again.

Source: Dettmers et al., QLoRA (2023), https://arxiv.org/abs/2305.14314.
"""

from typing import Any

import torch
from torch import Tensor, nn

from fashion_sweep.models.memory import give_back


def quantize(module: nn.Module, how: str, device: torch.device | str) -> None:
    """Puts rounded layers in the place of a frozen module's linear ones; `how`: nf4 or int8.

    One layer after the other, so that no more than one is there twice.
    """
    linear = [
        name for name, layer in module.named_modules() if isinstance(layer, nn.Linear)
    ]  # names alone: no layer stays
    for name in linear:
        parent, _, own = name.rpartition(".")
        setattr(module.get_submodule(parent), own, _rounded(module.get_submodule(name), how).to(device))
    give_back()


def _rounded(layer: Any, how: str) -> nn.Module:
    if how == "nf4":
        from fashion_sweep.models import nf4

        made: Any = nf4.rounded(layer)
    else:
        from bitsandbytes.nn import Int8Params, Linear8bitLt

        bias = layer.bias is not None
        made = Linear8bitLt(layer.in_features, layer.out_features, bias, has_fp16_weights=False, device="meta")
        made.weight = Int8Params(layer.weight.data, requires_grad=False, has_fp16_weights=False)
        made.bias = layer.bias
    rounded: nn.Module = made.eval()
    return rounded


def is_rounded(layer: nn.Module) -> bool:
    """Whether the weights of a layer are rounded to fewer bits."""
    return isinstance(layer, nn.Linear) and not layer.weight.dtype.is_floating_point


def weight_shape(layer: nn.Module) -> tuple[int, ...]:
    """Returns the shape of a layer's weight, outputs first, also where it is kept in another."""
    if isinstance(layer, nn.Linear):
        return layer.out_features, layer.in_features
    return tuple(layer.get_parameter("weight").shape)


def plain_weight(layer: Any) -> Tensor:
    """Returns the weight of a layer as it acts in a product: of a rounded one in the dtype that it computes in."""
    if not is_rounded(layer):
        return layer.weight.detach()
    from peft.utils.integrations import dequantize_bnb_weight

    return dequantize_bnb_weight(layer.weight, state=getattr(layer, "state", None)).detach()
