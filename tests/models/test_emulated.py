"""Products of bfloat16 on CPUs that have no instructions for it."""

import copy

import pytest
import torch
from torch import nn

from fashion_sweep.models.emulated import autocast_on, compute_in_float32, is_emulated
from fashion_sweep.models.pipeline_model import freeze

LAYERS = {
    "linear": (lambda: nn.Linear(48, 32), (5, 48)),
    "without a bias": (lambda: nn.Linear(48, 32, bias=False), (2, 5, 48)),
    "convolution": (lambda: nn.Conv2d(8, 4, 3, stride=2, padding=1), (2, 8, 9, 7)),
    "in groups": (lambda: nn.Conv2d(8, 8, 3, groups=4), (1, 8, 6, 6)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_outputs_and_gradients_are_those_of_float32_rounded_once(kind):
    make, shape = LAYERS[kind]
    torch.manual_seed(0)
    layer = make().to(torch.bfloat16).requires_grad_(False)
    exact = copy.deepcopy(layer).float()
    compute_in_float32(layer)
    inputs = torch.randn(shape).to(torch.bfloat16).requires_grad_()
    wanted_inputs = inputs.detach().float().requires_grad_()
    made, wanted = layer(inputs), exact(wanted_inputs)
    assert made.dtype == torch.bfloat16
    assert torch.equal(made, wanted.to(torch.bfloat16))
    gradient = torch.randn_like(made)
    made.backward(gradient)
    wanted.backward(gradient.float())
    assert torch.equal(inputs.grad, wanted_inputs.grad.to(torch.bfloat16))


def test_float32_layers_stay_as_they_are():
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4, dtype=torch.bfloat16))
    compute_in_float32(module)
    assert [type(layer) is nn.Linear for layer in module] == [True, False]
    assert all(isinstance(layer, nn.Linear) for layer in module)  # that adapters still find them


@pytest.mark.parametrize(("capability", "emulated"), [("AVX2", True), ("AVX512", False)])
def test_only_a_cpu_without_its_instructions_computes_in_float32(monkeypatch, capability, emulated):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert (is_emulated("cpu"), is_emulated("cuda")) == (emulated, False)
    assert autocast_on("cpu", "bf16") == ("no" if emulated else "bf16")
    module = nn.Linear(4, 4, dtype=torch.bfloat16)
    freeze(module, "cpu")
    assert (type(module) is nn.Linear) is not emulated
    assert not module.weight.requires_grad
