"""Times the parts of a model and the steps of a training from outside, as an observer."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from fashion_sweep.run.events import Observer


@dataclass
class Timings(Observer):
    """Holds seconds and bytes of the parts of all trials."""

    calls: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """The seconds of each call while judged images are made, by part of the model and evaluation set. They are for one
    sample of the call, of which guidance makes two an image."""
    steps: dict[str, list[float]] = field(default_factory=dict)
    """The seconds of each optimizer step, by trial."""
    weights: dict[str, int] = field(default_factory=dict)
    """The bytes of the base model, the second one and the judge."""
    trial_id: str = ""
    """The trial that is worked on."""
    _moments: list[float] = field(default_factory=list)
    """The times at which the attempt that is going on made its steps and validations."""
    _data_set: str | None = None
    """The data set that is drawn and judged; the sample grid has none, draws fewer at once and does not count."""
    _draws: bool = False
    _parts: set[str] = field(default_factory=set)
    """The parts of the models that were loaded."""

    @contextmanager
    def stage(self, name: str, **facts: Any) -> Iterator[None]:
        if name == "train":
            self._moments.clear()
        self._data_set = facts["data_set"] if name == "draw" else self._data_set
        self._draws = self._draws or name == "generate"
        try:
            yield
        finally:
            self._data_set = None if name == "draw" else self._data_set
            self._draws = self._draws and name != "generate"

    def step(self, values: Mapping[str, float]) -> None:
        now = time.monotonic()
        if self._moments:
            self.steps.setdefault(self.trial_id, []).append(now - self._moments[-1])
        self._moments.append(now)

    def report(self, values: Mapping[str, float]) -> None:
        self._moments.append(time.monotonic())

    def loaded(self, name: str, loaded: Any) -> None:
        if name == "judge":
            self.weights["judge"] = sum(map(bytes_of, {id(network): network for network in loaded}.values()))
            return
        self.weights |= loaded.weight_bytes
        for part, module in loaded.parts.items():
            self._parts.add(part)
            self._time(part, module, loaded.device)

    def _time(self, part: str, module: nn.Module, device: torch.device) -> None:
        """Times the calls of a part of the model while it makes images that are judged."""
        started: list[float] = []

        def now() -> float:
            if device.type == "cuda":
                torch.cuda.synchronize()
            return time.monotonic()

        def before(*_: Any) -> None:
            if self._draws and self._data_set:
                started.append(now())

        def after(_: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor], made: Any) -> None:
            if started and self._data_set:
                samples = len(inputs[0] if inputs else next(iter(named.values())))
                self.calls.setdefault((part, self._data_set), []).append((now() - started.pop()) / samples)

        module.register_forward_pre_hook(before)
        module.register_forward_hook(after, with_kwargs=True)

    def seconds(self, part: str, evaluation_set: str) -> float:
        """Returns the seconds of a typical call, for one sample; 0 for a part that the model does not have."""
        return median(self.calls[part, evaluation_set]) if part in self._parts else 0.0


def bytes_of(module: nn.Module) -> int:
    """Returns the bytes of a module's weights."""
    return sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
