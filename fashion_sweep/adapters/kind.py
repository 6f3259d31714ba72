"""What the rest of the package asks of a kind of adapter. Imports no torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fashion_sweep.config.placed_adapter import AdapterOptions
from fashion_sweep.config.training import TrainingConfig

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

Parts = Mapping[tuple[str, str], "np.ndarray"]
"""The trained tensors of one component by layer and part, float32."""


@dataclass(frozen=True)
class LayerTensors:
    """The trained tensors of one layer, and what they are scaled by."""

    tensors: "Mapping[str, Tensor]"
    """By part."""
    alpha: float | None
    """None: the file tells none, and the product counts as it is."""
    rank_stabilized: bool = False
    """Whether alpha is divided by the root of the rank: Kalajdzievski 2023, https://arxiv.org/abs/2312.03732."""


class AdapterKind(Protocol):
    """A way to adapt a frozen network with few trained values, by the name that sweeps give as `kind`."""

    name: str
    title: str
    """In sentences, for instance `LoRA`."""
    family: str
    """What model hubs and MLflow file it under."""
    options: type[AdapterOptions]
    """What a sweep may say of one such adapter."""
    axes: tuple[str, ...]
    """Options that are numbers which order configurations: columns of tables and of MLflow."""
    formats: Mapping[str, Mapping[str, str]]
    """For each format of files that has it: how the key of a tensor ends there, by part of the layer."""
    spellings: Mapping[str, tuple[str, ...]]
    """How trainers end the key of a tensor, with the separator before it, by part of the layer."""
    settings: tuple[str, ...]
    """Fields of peft's `LoraConfig` that such a file may set beside those that any may."""

    def tag(self, options: Any) -> str:
        """The adapter in a trial's id after its placement, for instance `r4`: letters, digits, `_`, `-`, `.`."""

    def label(self, options: Any) -> str:
        """The adapter in a trial's title after its placement, for instance `rank 4`."""

    def count(self, layers: Mapping[str, tuple[int, int]], options: Any) -> int:
        """Trained values of an adapter of `layers`, linear layers with their input and output widths."""

    def attach(
        self,
        module: "nn.Module",
        component: str,
        targets: Sequence[str],
        options: Any,
        training: TrainingConfig,
        seed: int,
    ) -> "dict[str, nn.Parameter]":
        """Adds a trainable float32 adapter that leaves the output unchanged, and returns its parameters by name.

        Args:
            module: a component of the model, frozen.
            component: its name, which the returned names begin with.
            targets: names of the linear layers that are adapted.
            options: of the adapter.
            training: what all adapters of a trial share.
            seed: of the initial values, each of which is drawn by the name of its module.
        """

    def detach(self, module: "nn.Module") -> None:
        """Takes an attached adapter off again, so that the module is as it was before, bit for bit."""

    def collect(self, module: "nn.Module") -> tuple[Parts, dict[str, Any]]:
        """The trained tensors of a module that carries the adapter, and the settings that its files tell."""

    def check_shapes(
        self,
        layer: str,
        keys: Mapping[str, str],
        shapes: Mapping[str, tuple[int, ...]],
        weight: tuple[int, ...],
    ) -> None:
        """Holds the tensors that a file has for a layer against its weight.

        Args:
            layer: its name.
            keys: of the file, by part; parts may be missing.
            shapes: of the tensors, by part.
            weight: the shape of the layer's weight.

        Raises:
            ConfigError: they do not fit; names the key.
        """

    def fuse(self, module: "nn.Module", layers: Mapping[str, LayerTensors], strength: float) -> Callable[[], None]:
        """Puts trained tensors into the module; the returned function takes them out again, bit for bit.

        Args:
            module: a component of the model, with layers of these names.
            layers: by name, what `check_shapes` has let pass.
            strength: 1 is that of training, 0 leaves the module as it is.
        """

    def sd_scripts_keys(self, options: Any) -> dict[str, Any]:
        """What kohya's sd-scripts say of such an adapter in a file's metadata, without their prefix `ss_`."""
