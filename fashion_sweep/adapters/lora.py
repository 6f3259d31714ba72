"""LoRA: a product of two small matrices beside each adapted weight. Imports torch only when it is used.

Source: Hu et al., LoRA (2021), https://arxiv.org/abs/2106.09685; output is W x + (lora_alpha / rank) B A x.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from fashion_sweep.adapters.kind import LayerTensors, Parts
from fashion_sweep.adapters.peft_kind import PeftKind
from fashion_sweep.adapters.ranked import RankedOptions, ranks_and_alphas
from fashion_sweep.config.placed_adapter import AdapterOptions
from fashion_sweep.config.search_space import LARGEST_RANK
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

IN_MODULES = {"A": "lora_A.weight", "B": "lora_B.weight"}
"""The names of the parts in modules: A is rank x inputs, B is outputs x rank."""
SPELLINGS = {
    "A": (".lora_A.weight", ".lora_down.weight", ".lora.down.weight", ".lora_linear_layer.down.weight")
    + ("_lora.down.weight",),
    "B": (".lora_B.weight", ".lora_up.weight", ".lora.up.weight", ".lora_linear_layer.up.weight", "_lora.up.weight"),
}


class LoraOptions(RankedOptions):
    """The options of a LoRA in a sweep; the rank alone will do."""

    names: ClassVar[Mapping[str, str]] = {
        "lora_alpha": "alpha",
        "use_rslora": "rslora",
        "loraplus_lr_ratio": "loraplus",
        "init_lora_weights": "init",
        "lora_dropout": "dropout",
    }

    use_rslora: bool = False
    """Whether alpha is divided by the root of the rank, as rsLoRA does (arXiv:2312.03732). Files say it by alpha."""
    loraplus_lr_ratio: Annotated[float, Field(ge=1)] = 1.0
    """How much faster B learns than A: LoRA+, Hayou et al. (2024), arXiv:2402.12354."""
    init_lora_weights: Literal["default", "gaussian", "orthogonal", "pissa", "olora"] = "default"
    """How it starts, by peft's names. With `pissa` (arXiv:2404.02948) and `olora` (arXiv:2406.01775) it takes over a
    part of the weight; files then hold what it has become less what it was, at twice the rank."""
    lora_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """The share of an adapted layer's inputs that the adapter does not see in a step of training."""

    @classmethod
    def from_plain(cls, value: Any) -> Self | None:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_RANK:
            raise ValueError(f"the rank must be a whole number from 0 to {LARGEST_RANK}, not {value!r}")
        return cls(rank=value) if value else None

    @property
    def plain(self) -> int | None:
        return None if self.others else self.rank

    def check(self, layer: str, shape: tuple[int, ...]) -> None:
        """Checks that an adapter of a layer can start so; `shape`: of its weight.

        Raises:
            ConfigError: it cannot.
        """
        start, reason = self.init_lora_weights, None
        if start in {"default", "gaussian"}:
            return
        if len(shape) > 2:
            reason = f"is for linear layers, and {layer} is a convolution"
        elif start == "orthogonal" and self.rank % 2:
            reason = f"needs an even rank, not {self.rank}"
        elif start != "orthogonal" and self.rank > min(shape):
            reason = f"needs a rank of at most the width, and {layer} is {min(shape)} wide"
        if reason:
            raise ConfigError(f"init_lora_weights: {start} {reason}")

    def alpha(self, training: TrainingConfig) -> float:
        alpha = super().alpha(training)
        return alpha * math.sqrt(self.rank) if self.use_rslora else alpha


class Lora(PeftKind):
    """LoRA as a kind of adapter; `adapters.kind.AdapterKind` has the members' contracts."""

    name, title, family = "lora", "LoRA", "lora"
    options: type[AdapterOptions] = LoraOptions
    axes = ("rank",)
    formats: Mapping[str, Mapping[str, str]] = {
        "diffusers": IN_MODULES,
        "peft": IN_MODULES,
        "kohya": {"A": "lora_down.weight", "B": "lora_up.weight"},
    }
    spellings: Mapping[str, tuple[str, ...]] = SPELLINGS
    peft: Mapping[str, Any] = {}
    """The values of peft's `LoraConfig` that make a LoRA one of this kind."""

    def tag(self, options: LoraOptions) -> str:
        return options.tag

    def label(self, options: LoraOptions) -> str:
        return options.label

    def count(self, layers: Mapping[str, tuple[int, ...]], options: LoraOptions) -> int:
        for name, shape in layers.items():
            options.check(name, shape)
        return options.rank * sum(outputs + math.prod(inputs) for outputs, *inputs in layers.values())

    def attach(
        self,
        module: "nn.Module",
        component: str,
        layers: Mapping[str, LoraOptions],
        training: TrainingConfig,
        seed: int,
        tokens: Callable[[str], Sequence[int]] | None = None,
    ) -> "dict[str, nn.Parameter]":
        from fashion_sweep.adapters import low_rank, wrapping

        ranks, alphas = ranks_and_alphas(layers, training)
        starts = {name: options.init_lora_weights for name, options in layers.items()}
        config = {**wrapping.ranked(module, ranks, alphas, low_rank.ALPHA), **self.peft}
        parameters = low_rank.attach(module, component, config, starts, seed)
        dropouts = {name: options.lora_dropout for name, options in layers.items() if options.lora_dropout}
        low_rank.drop_out(module, component, dropouts, seed)
        return parameters

    def rate(self, name: str, options: LoraOptions, training: TrainingConfig) -> float:
        return options.loraplus_lr_ratio if ".lora_B." in name else 1.0

    def has_own_rate(self, options: LoraOptions, training: TrainingConfig) -> bool:
        return options.loraplus_lr_ratio != 1

    def needs_plain_weights(self, options: LoraOptions, quantization: str) -> str | None:
        start = options.init_lora_weights
        if start in {"pissa", "olora"}:
            return f"as init_lora_weights: {start} takes a part out of its weights"
        return f"as init_lora_weights: {start} begins with plain weights" if start == "orthogonal" else None

    def collect(self, module: "nn.Module") -> tuple[Parts, dict[str, Any]]:
        from fashion_sweep.adapters import low_rank

        return low_rank.collect(module, self.formats["peft"])

    def check_shapes(
        self,
        layer: str,
        keys: Mapping[str, str],
        shapes: Mapping[str, tuple[int, ...]],
        weight: tuple[int, ...],
    ) -> None:
        for part, axis in (("A", 1), ("B", 0)):
            if part not in shapes:
                continue
            shape, rest = shapes[part], weight[2:] if part == "A" else (1,) * (len(weight) - 2)
            if len(shape) != len(weight) or shape[2:] != rest or 0 in shape:
                raise ConfigError(f"{keys[part]} has the shape {[*shape]}, for which a layer of {weight} has no place")
            if shape[axis] != weight[axis]:
                raise ConfigError(f"{layer} is {weight[axis]} wide in the model and {shape[axis]} in the adapter")
        if {"A", "B"} <= shapes.keys() and shapes["A"][0] != shapes["B"][1]:
            raise ConfigError(f"{keys['A']} has the rank {shapes['A'][0]}, and {keys['B']} {shapes['B'][1]}")

    def for_kohya(
        self, tensors: "Mapping[str, np.ndarray]", scale: float, usual: float
    ) -> "tuple[dict[str, np.ndarray], float]":
        """Returns them with the usual alpha: diffusers' reader gives some layers the alphas of others."""
        import numpy as np

        own = scale * len(tensors["A"])
        return dict(tensors) | {"B": tensors["B"] * np.float32(own / usual)}, usual

    def combined(self, weight: "Tensor", layer: LayerTensors, strength: float) -> "Tensor":
        from fashion_sweep.adapters import low_rank

        return low_rank.with_product(weight, layer, strength)

    def sd_scripts_keys(self, options: LoraOptions, training: TrainingConfig) -> dict[str, Any]:
        alpha = f"{options.alpha(training):g}"
        return {"network_module": "networks.lora", "network_dim": options.rank, "network_alpha": alpha}


LORA = Lora()
