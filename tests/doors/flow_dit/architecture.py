"""What is known of the model without its weights. Imports no torch."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import PositiveFloat, field_validator

from fashion_sweep.config.data_source import Size
from fashion_sweep.config.model_config import ModelConfig
from fashion_sweep.models.architecture import Architecture, Fingerprints, Layers, Placement

if TYPE_CHECKING:
    from fashion_sweep.models.model import Model

WIDTH, DEPTH, CHANNELS, PATCH, DOWNSAMPLING = 32, 2, 3, 2, 4
TEXT_LENGTH = 48
"""Bytes of a caption; longer ones lose their end."""
PROJECTIONS = ("to_q", "to_k", "to_v", "to_out")


class FlowDiTConfig(ModelConfig):
    """The `model` section of a preset; `base` is `random:` and the seed of the weights."""

    shift: PositiveFloat = 1.0
    """Above 1, training and drawing spend more of their steps at high noise."""

    @field_validator("base")
    @classmethod
    def _is_a_seed(cls, base: str) -> str:
        if not re.fullmatch(r"random:\d+", base):
            raise ValueError(f"{base!r} is not 'random:' and a number")
        return base


class FlowDiTArchitecture(Architecture):
    """See `models.architecture.Architecture` for the members' contracts."""

    name = "flow-dit"
    components = ("transformer", "reader")
    text_components = ("reader",)
    placements: Mapping[str, Placement] = {
        "transformer": Placement("transformer", ("transformer",)),
        "reader": Placement("reader", ("reader",)),
    }
    config_class = FlowDiTConfig
    sampler = "Euler"

    def target_modules(self, component: str) -> tuple[str, ...]:
        return PROJECTIONS

    def layers(self, base: str, component: str) -> Layers:
        from flow_dit.model import count_layers

        return count_layers(component)

    def size_divisor(self, model: FlowDiTConfig) -> int:
        return DOWNSAMPLING * PATCH

    def fingerprints(self, model: FlowDiTConfig) -> Fingerprints:
        shift = {"shift": str(model.shift)}
        return Fingerprints({}, {"reader": model.base, "precision": model.dtype}, loss=shift, drawing=shift)

    def view_bytes(self, model: FlowDiTConfig, size: Size) -> int:
        return 2 * CHANNELS * size.height * size.width // DOWNSAMPLING**2

    def caption_bytes(self, model: FlowDiTConfig) -> int:
        return TEXT_LENGTH * (2 * WIDTH + 1)

    def load(self, config: FlowDiTConfig, device: str, for_pictures: bool) -> "Model":
        from flow_dit.model import FlowDiT

        return FlowDiT(config, device)


FLOW_DIT = FlowDiTArchitecture()
