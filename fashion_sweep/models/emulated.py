"""Computes products of bfloat16 in float32 on CPUs without instructions for bfloat16.

There PyTorch's own take 40 to 200 times as long as float32's. The weights stay in bfloat16, one layer after the other
is told in float32 for its product, and again for the gradient: so that no more than one is there twice.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional, grad


def is_emulated(device: torch.device | str) -> bool:
    """Whether a device is a CPU that has bfloat16 by PyTorch's emulation alone."""
    return torch.device(device).type == "cpu" and torch.backends.cpu.get_cpu_capability() == "AVX2"


def autocast_on(device: torch.device | str, wanted: str) -> str:
    """Returns the dtype that training computes adapters in: none but their own where `wanted` is emulated."""
    return "no" if is_emulated(device) else wanted


def compute_in_float32(module: nn.Module) -> None:
    """Has the frozen linear layers and convolutions of bfloat16 in a module compute in float32, for good."""
    for layer in module.modules():
        kind = _KINDS.get(type(layer))
        if kind and layer.weight.dtype == torch.bfloat16:
            layer.__class__ = kind


class _ProductInFloat32(torch.autograd.Function):
    """A layer's output, and the gradient of its inputs: the weights have none."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, layer: Any) -> Tensor:
        ctx.layer, ctx.shape, ctx.dtype = layer, inputs.shape, inputs.dtype
        bias = None if layer.bias is None else layer.bias.float()
        with torch.autocast("cpu", enabled=False):
            made: Tensor = layer.product(inputs.float(), layer.weight.float(), bias)
        return made.to(layer.weight.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        with torch.autocast("cpu", enabled=False):
            made: Tensor = ctx.layer.gradient(ctx.shape, ctx.layer.weight.float(), gradient.float())
        return made.to(ctx.dtype), None


class _LinearInFloat32(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        made: Tensor = _ProductInFloat32.apply(input, self)
        return made

    def product(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return functional.linear(inputs, weight, bias)

    def gradient(self, shape: torch.Size, weight: Tensor, gradient: Tensor) -> Tensor:
        return gradient @ weight


class _ConvolutionInFloat32(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        made: Tensor = _ProductInFloat32.apply(input, self)
        return made

    def product(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self._conv_forward(inputs, weight, bias)

    def gradient(self, shape: torch.Size, weight: Tensor, gradient: Tensor) -> Tensor:
        padding: Any = self.padding
        made: Tensor = grad.conv2d_input(shape, weight, gradient, self.stride, padding, self.dilation, self.groups)
        return made


_KINDS: dict[type[nn.Module], Any] = {nn.Linear: _LinearInFloat32, nn.Conv2d: _ConvolutionInFloat32}
