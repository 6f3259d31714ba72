"""The time of a model's parts, by sample, however they are called."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fashion_sweep.rehearsal.timings import Timings


class Network(nn.Module):
    def forward(self, hidden_states, timestep=None):
        return hidden_states + 1


@pytest.mark.parametrize("by_name", [False, True])
def test_a_call_is_shared_by_its_samples_whether_they_come_first_or_by_name(by_name, monkeypatch):
    moments = iter([10.0, 16.0])
    monkeypatch.setattr("fashion_sweep.rehearsal.timings.time", SimpleNamespace(monotonic=lambda: next(moments)))
    network, timings = Network(), Timings()
    timings.loaded("base", SimpleNamespace(weight_bytes={}, parts={"base": network}, device=torch.device("cpu")))
    samples = torch.zeros(3, 2)
    with timings.stage("generate"), timings.stage("draw", data_set="fashion"):
        network(hidden_states=samples, timestep=1) if by_name else network(samples, timestep=1)
    assert timings.seconds("base", "fashion") == 2.0
