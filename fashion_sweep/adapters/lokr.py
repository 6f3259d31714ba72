"""LoKr: a Kronecker product beside each adapted weight. Imports torch only when it is used.

Source: LyCORIS, Yeh et al. (2024), https://arxiv.org/abs/2309.14859; output is W x + (lora_alpha / rank) (w1 ⊗ w2) x,
where w1 is small and w2 is the product of two matrices of the rank, as long as that is smaller than w2 itself.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import PositiveInt

from fashion_sweep.adapters.kind import LayerTensors
from fashion_sweep.adapters.peft_kind import PeftKind
from fashion_sweep.adapters.ranked import RankedOptions, ranks_and_alphas
from fashion_sweep.config.placed_adapter import AdapterOptions
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

PARTS = {name: name for name in ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b")}
"""The names of the parts in modules: of each of the two factors itself, or the two matrices whose product it is."""
FACTORS = ("lokr_w1", "lokr_w2")


class LokrOptions(RankedOptions):
    """The options of a LoKr in a sweep."""

    names: ClassVar[Mapping[str, str]] = {
        "lora_alpha": "alpha",
        "decompose_factor": "factor",
        "decompose_both": "both",
    }

    decompose_factor: PositiveInt | None = None
    """The largest size of w1 on either side; null: the two factors are as alike in size as can be."""
    decompose_both: bool = False
    """Whether w1 too is a product of two matrices of the rank, where that is smaller."""

    def factors(self, weight: tuple[int, ...]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Returns the sizes of w1 and of w2 for a layer, each with the outputs first.

        weight: the shape of the layer's weight; of a convolution, w2 has all of the kernel.
        """
        (outer, outputs), (inner, inputs) = (_split(size, self.decompose_factor) for size in weight[:2])
        return (outer, inner), (outputs, inputs)

    def is_whole(self, factor: int, sizes: tuple[int, int]) -> bool:
        """Whether a factor, 0 or 1, of these sizes is trained itself, and not as a product."""
        return (factor == 0 and not self.decompose_both) or 2 * self.rank >= max(sizes)


class Lokr(PeftKind):
    """LoKr as a kind of adapter; `adapters.kind.AdapterKind` has the members' contracts."""

    name, title, family, peft_type = "lokr", "LoKr", "lycoris", "LOKR"
    options: type[AdapterOptions] = LokrOptions
    axes: tuple[str, ...] = ("rank",)
    shared: tuple[str, ...] = ("decompose_factor", "decompose_both")
    formats: Mapping[str, Mapping[str, str]] = {"peft": PARTS, "kohya": PARTS}
    spellings: Mapping[str, tuple[str, ...]] = {part: (f".{part}",) for part in PARTS}
    settings: tuple[str, ...] = ("alpha", "init_weights", "decompose_factor", "decompose_both")

    def tag(self, options: LokrOptions) -> str:
        return f"lokr-{options.tag}"

    def label(self, options: LokrOptions) -> str:
        return f"LoKr {options.label}"

    def count(self, layers: Mapping[str, tuple[int, ...]], options: LokrOptions) -> int:
        total = 0
        for weight in layers.values():
            for factor, sizes in enumerate(options.factors(weight)):
                rows, columns = sizes[0], sizes[1] * (math.prod(weight[2:]) if factor else 1)
                whole = options.is_whole(factor, sizes)
                total += rows * columns if whole else options.rank * (rows + columns)
        return total

    def config(
        self, module: "nn.Module", layers: Mapping[str, LokrOptions], training: TrainingConfig
    ) -> dict[str, Any]:
        from fashion_sweep.adapters import wrapping

        one = next(iter(layers.values()))
        shared = {"decompose_factor": one.decompose_factor or -1, "decompose_both": one.decompose_both}
        return wrapping.ranked(module, *ranks_and_alphas(layers, training)) | shared

    def lacks(self, parts: set[str]) -> str | None:
        missing = [one for one in FACTORS if one not in parts and not {f"{one}_a", f"{one}_b"} <= parts]
        return f"{' and '.join(FACTORS)}, or the _a and _b of each, and has no {missing[0]}" if missing else None

    def needs_plain_weights(self, options: LokrOptions, quantization: str) -> str | None:
        return "as peft's LoKr reads the shape of its weights"

    def check_shapes(
        self, layer: str, keys: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], weight: tuple[int, ...]
    ) -> None:
        for part, shape in shapes.items():
            longest = len(weight) if part == "lokr_w2" else 2
            if part in PARTS and (not 2 <= len(shape) <= longest or 0 in shape):
                raise ConfigError(f"{keys[part]} has the shape {[*shape]}, for which a layer of {weight} has no place")
        for one in FACTORS:
            first, second = shapes.get(f"{one}_a"), shapes.get(f"{one}_b")
            if first and second and first[1] != second[0]:
                raise ConfigError(f"{keys[one + '_a']} has the rank {first[1]}, and {keys[one + '_b']} {second[0]}")
        if self.lacks({*shapes}):
            return
        sizes = [shapes.get(one) or (shapes[f"{one}_a"][0], shapes[f"{one}_b"][1]) for one in FACTORS]
        for axis, wide in enumerate((weight[0], math.prod(weight[1:]))):
            found = math.prod(math.prod(size[1:]) if axis else size[0] for size in sizes)
            if found != wide:
                raise ConfigError(f"{layer} is {wide} wide in the model and {found} in the adapter")

    def combined(self, weight: "Tensor", layer: LayerTensors, strength: float) -> "Tensor":
        import torch

        from fashion_sweep.adapters import wrapping

        tensors = {part: values.to(weight.device).float() for part, values in layer.tensors.items()}
        w1, w2 = (tensors[one] if one in tensors else tensors[f"{one}_a"] @ tensors[f"{one}_b"] for one in FACTORS)
        ranks = [len(values) for part, values in tensors.items() if part.endswith("_b")]
        scale = layer.scale(ranks[0] if ranks else None)
        return wrapping.added(weight, torch.kron(w1, w2.flatten(1)), scale * strength)

    def for_kohya(
        self, tensors: "Mapping[str, np.ndarray]", scale: float, usual: float
    ) -> "tuple[dict[str, np.ndarray], float]":
        """Returns them with the scale in one, and the rank as alpha: LyCORIS 4.1 merges with the scale twice, and gives
        none to two whole factors."""
        if "lokr_w2" not in tensors:
            scaled = "lokr_w1_a" if "lokr_w1_a" in tensors else "lokr_w1"
            return dict(tensors) | {scaled: tensors[scaled] * scale}, float(len(tensors["lokr_w2_b"]))
        w1 = tensors["lokr_w1"] if "lokr_w1" in tensors else tensors["lokr_w1_a"] @ tensors["lokr_w1_b"]
        return {"lokr_w1": w1 * scale, "lokr_w2": tensors["lokr_w2"]}, 1.0

    def sd_scripts_keys(self, options: LokrOptions, training: TrainingConfig) -> dict[str, Any]:
        factor = options.decompose_factor or -1
        return {
            "network_module": "lycoris.kohya",
            "network_dim": options.rank,
            "network_alpha": f"{options.alpha(training):g}",
            "network_args": f'{{"algo": "lokr", "factor": "{factor}"}}',
        }


def _split(size: int, largest: int | None) -> tuple[int, int]:
    """Returns two factors of a size as peft's `factorization` does.

    largest: that the first may be, which it is where it divides the size; None: the two are as alike as can be.
    """
    if largest and size % largest == 0:
        return largest, size // largest
    bound = min(math.isqrt(size), largest or size)
    first = next(one for one in range(bound, 0, -1) if size % one == 0)
    return first, size // first


LOKR = Lokr()
