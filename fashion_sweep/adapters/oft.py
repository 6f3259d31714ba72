"""OFT: rotates the inputs of each adapted layer, in blocks. Imports torch only when it is used.

Source: Qiu et al., OFT (2023), https://arxiv.org/abs/2306.07280; output is W R x, where R is block-diagonal, and
each block is the Cayley transform (I - Q)(I + Q)^-1 of a skew-symmetric matrix, so that norms and angles stay.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from fashion_sweep.adapters.kind import LayerTensors, Parts
from fashion_sweep.adapters.peft_kind import PeftKind
from fashion_sweep.config.placed_adapter import AdapterOptions
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor, nn

ROTATION = "oft_R"


class OftOptions(AdapterOptions):
    """The options of an OFT in a sweep."""

    oft_block_size: int = Field(ge=2, le=1024)
    """How many inputs are rotated together; it must divide the width of every adapted layer."""

    def check(self, layer: str, weight: tuple[int, ...]) -> None:
        """Checks that a layer can be rotated so; `weight`: the shape of its weight.

        Raises:
            ConfigError: it cannot.
        """
        if len(weight) > 2:
            raise ConfigError(f"an OFT is for linear layers, and {layer} is a convolution")
        if weight[1] % self.oft_block_size:
            raise ConfigError(
                f"oft_block_size: must divide the inputs of every layer; {layer} has {weight[1]}, and "
                f"{self.oft_block_size} does not"
            )


class Oft(PeftKind):
    """OFT as a kind of adapter; `adapters.kind.AdapterKind` has the members' contracts."""

    name, title, family, peft_type = "oft", "OFT", "oft", "OFT"
    options: type[AdapterOptions] = OftOptions
    axes: tuple[str, ...] = ("oft_block_size",)
    shared: tuple[str, ...] = ("oft_block_size",)
    formats: Mapping[str, Mapping[str, str]] = {"peft": {ROTATION: "oft_R.weight"}}
    """Only peft's: kohya's files of this name rotate outputs, and hold other values."""
    spellings: Mapping[str, tuple[str, ...]] = {ROTATION: (".oft_R.weight",)}
    settings: tuple[str, ...] = ("oft_block_size", "init_weights", "eps", "num_cayley_neumann_terms")

    def tag(self, options: OftOptions) -> str:
        return f"oft-b{options.oft_block_size}"

    def label(self, options: OftOptions) -> str:
        return f"OFT block size {options.oft_block_size}"

    def count(self, layers: Mapping[str, tuple[int, ...]], options: OftOptions) -> int:
        for name, weight in layers.items():
            options.check(name, weight)
        return sum(weight[1] for weight in layers.values()) * (options.oft_block_size - 1) // 2

    def config(self, module: "nn.Module", layers: Mapping[str, OftOptions], training: TrainingConfig) -> dict[str, Any]:
        from fashion_sweep.adapters import wrapping
        from fashion_sweep.models.quantization import weight_shape

        for name, options in layers.items():
            options.check(name, weight_shape(module.get_submodule(name)))
        return {
            "oft_block_size": next(iter(layers.values())).oft_block_size,
            "use_cayley_neumann": False,
            "target_modules": wrapping.shortest(module, layers),
        }

    def reset(self, layer: Any) -> None:
        layer.reset_oft_parameters("default", init_weights=True)

    def collect(self, module: "nn.Module") -> tuple[Parts, dict[str, Any]]:
        tensors, settings = super().collect(module)
        return tensors, {name: value for name, value in settings.items() if name != "r"}  # 0, beside a block size

    def check_shapes(
        self, layer: str, keys: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], weight: tuple[int, ...]
    ) -> None:
        shape = shapes.get(ROTATION, ())
        block = _block_size(shape[1]) if len(shape) == 2 else 0
        if len(weight) > 2 or block < 2 or shape[0] * block != weight[1]:
            raise ConfigError(f"{keys[ROTATION]} has the shape {[*shape]}, for which a layer of {weight} has no place")

    def combined(self, weight: "Tensor", layer: LayerTensors, strength: float) -> "Tensor":
        """Returns the rotated weight; other strengths lie on the line from the base weight to it and beyond."""
        import torch

        values = layer.tensors[ROTATION].to(weight.device).float()  # blocks, values above the diagonal
        size = _block_size(values.shape[1])
        rows, columns = torch.triu_indices(size, size, 1, device=weight.device)
        skew = values.new_zeros(len(values), size, size)
        skew[:, rows, columns] = values
        skew = skew - skew.transpose(1, 2)
        identity = torch.eye(size, device=weight.device).expand_as(skew)
        rotation = torch.linalg.solve(identity + skew, identity - skew, left=False)
        base = weight.float()
        blocks = base.unflatten(1, (len(values), size))  # outputs, blocks, size
        turned = torch.einsum("orc,rkc->ork", blocks, rotation).flatten(1)
        return (turned if strength == 1 else base + strength * (turned - base)).to(weight.dtype)


def _block_size(values: int) -> int:
    """Returns the size of a skew-symmetric matrix with so many values above its diagonal; 0 where there is none."""
    size = round((1 + (1 + 8 * values) ** 0.5) / 2)
    return size if size * (size - 1) // 2 == values else 0


OFT = Oft()
