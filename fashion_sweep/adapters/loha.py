"""LoHa: the elementwise product of two low-rank products beside each adapted weight. Imports torch only when used.

Source: Hyeon-Woo et al., FedPara (2022), https://arxiv.org/abs/2108.06098; in LyCORIS (Yeh et al., 2024),
https://arxiv.org/abs/2309.14859, as LoHa. Output is W x + (lora_alpha / rank) ((A1 B1) * (A2 B2)) x.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fashion_sweep.adapters.kind import LayerTensors
from fashion_sweep.adapters.peft_kind import PeftKind
from fashion_sweep.adapters.ranked import RankedOptions, ranks_and_alphas
from fashion_sweep.config.placed_adapter import AdapterOptions
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

PARTS = {name: name for name in ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")}
"""The names of the parts in modules: a is outputs x rank, b is rank x inputs."""


class LohaOptions(RankedOptions):
    """The options of a LoHa in a sweep."""


class Loha(PeftKind):
    """LoHa as a kind of adapter; `adapters.kind.AdapterKind` has the members' contracts."""

    name, title, family, peft_type = "loha", "LoHa", "lycoris", "LOHA"
    options: type[AdapterOptions] = LohaOptions
    axes: tuple[str, ...] = ("rank",)
    shared: tuple[str, ...] = ()
    formats: Mapping[str, Mapping[str, str]] = {"peft": PARTS, "kohya": PARTS}
    spellings: Mapping[str, tuple[str, ...]] = {part: (f".{part}",) for part in PARTS}
    settings: tuple[str, ...] = ("alpha", "init_weights")

    def tag(self, options: LohaOptions) -> str:
        return f"loha-{options.tag}"

    def label(self, options: LohaOptions) -> str:
        return f"LoHa {options.label}"

    def count(self, layers: Mapping[str, tuple[int, ...]], options: LohaOptions) -> int:
        return 2 * options.rank * sum(outputs + math.prod(inputs) for outputs, *inputs in layers.values())

    def config(
        self, module: "nn.Module", layers: Mapping[str, LohaOptions], training: TrainingConfig
    ) -> dict[str, Any]:
        from fashion_sweep.adapters import wrapping

        return wrapping.ranked(module, *ranks_and_alphas(layers, training))

    def needs_plain_weights(self, options: LohaOptions, quantization: str) -> str | None:
        return "as peft's LoHa reads the shape of its weights"

    def check_shapes(
        self, layer: str, keys: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], weight: tuple[int, ...]
    ) -> None:
        outputs, inputs = weight[0], math.prod(weight[1:])
        for part, shape in shapes.items():
            if part in PARTS and (len(shape) != 2 or 0 in shape):
                raise ConfigError(f"{keys[part]} has the shape {[*shape]}, and is no matrix")
            wide, axis = (outputs, 0) if part.endswith("_a") else (inputs, 1)
            if part in PARTS and shape[axis] != wide:
                raise ConfigError(f"{layer} is {wide} wide in the model and {shape[axis]} in the adapter")
        ranks = {part: shapes[part][part.endswith("_a")] for part in PARTS if part in shapes}
        first = next(iter(ranks), "")
        if other := next((part for part in ranks if ranks[part] != ranks[first]), None):
            raise ConfigError(f"{keys[first]} has the rank {ranks[first]}, and {keys[other]} {ranks[other]}")

    def combined(self, weight: "Tensor", layer: LayerTensors, strength: float) -> "Tensor":
        from fashion_sweep.adapters import wrapping

        w1_a, w1_b, w2_a, w2_b = (layer.tensors[part].to(weight.device).float() for part in PARTS)
        return wrapping.added(weight, (w1_a @ w1_b) * (w2_a @ w2_b), layer.scale(len(w1_b)) * strength)

    def for_kohya(
        self, tensors: "Mapping[str, np.ndarray]", scale: float, usual: float
    ) -> "tuple[dict[str, np.ndarray], float]":
        """Returns them with the scale in one, and the rank as alpha: LyCORIS 4.1 merges with the scale twice."""
        return dict(tensors) | {"hada_w1_b": tensors["hada_w1_b"] * scale}, float(len(tensors["hada_w1_b"]))

    def sd_scripts_keys(self, options: LohaOptions, training: TrainingConfig) -> dict[str, Any]:
        return {
            "network_module": "lycoris.kohya",
            "network_dim": options.rank,
            "network_alpha": f"{options.alpha(training):g}",
            "network_args": '{"algo": "loha"}',
        }


LOHA = Loha()
