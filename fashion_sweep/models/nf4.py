"""Linear layers whose weights have 4 bits, by bitsandbytes, with right products on every CPU.

bitsandbytes 0.50 tells weights wrongly on CPUs with AVX-512 where blocks of 64 straddle rows (of 32, 80 or 96 inputs,
by 20 to 50 %): its kernel takes each row to begin with a block of its own. Read as one long row they come out right.
"""

from copy import copy
from functools import cache
from typing import Any

import torch
from bitsandbytes import functional
from bitsandbytes.nn import Linear4bit, Params4bit
from torch import Tensor, nn


def rounded(layer: nn.Linear) -> nn.Module:
    """Returns a layer that is to be rounded when it is moved to a device, with this one's frozen weights."""
    tell_whole_rows()
    weight = layer.weight.data
    bias = layer.bias is not None
    made: Any = _Linear4bit(
        layer.in_features, layer.out_features, bias, compute_dtype=weight.dtype, quant_type="nf4", device="meta"
    )
    made.weight = Params4bit(weight, requires_grad=False, quant_type="nf4", module=made)
    made.bias = layer.bias
    return made


class _Product(torch.autograd.Function):
    """Multiplies by weights that are told anew each time, so that they take no memory in between."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, layer: Any) -> Tensor:
        ctx.layer = layer
        return nn.functional.linear(inputs, functional.dequantize_4bit(layer.weight, layer.weight.quant_state))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        weights = functional.dequantize_4bit(ctx.layer.weight, ctx.layer.weight.quant_state)
        return gradient.to(weights.dtype) @ weights, None  # autocast may have made the product in another


class _Linear4bit(Linear4bit):
    """Leaves bitsandbytes' own products to GPUs: on CPUs they go by its kernel, or by one in bfloat16 alone."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        made: Tensor = _Product.apply(x.to(self.compute_dtype), self)
        return (made if self.bias is None else made + self.bias.to(made.dtype)).to(x.dtype)


@cache
def tell_whole_rows() -> None:
    """Has bitsandbytes tell 4-bit weights that are on a CPU as one long row, for peft, too."""
    dequantize = functional.dequantize_4bit

    def by_flat_order(A: Tensor, quant_state: Any = None, *others: Any, **named: Any) -> Tensor:
        if others or named or quant_state is None or A.device.type != "cpu" or A.shape[0] == 1:
            return dequantize(A, quant_state, *others, **named)
        flat = copy(quant_state)
        flat.shape = torch.Size((1, quant_state.shape.numel()))
        told: Tensor = dequantize(A, flat).reshape(quant_state.shape)
        return told

    functional.dequantize_4bit = by_flat_order
