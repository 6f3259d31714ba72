"""The interface of a kind of adapter. Imports no torch."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
    """The trained tensors of one layer, and the settings of their scale."""

    tensors: "Mapping[str, Tensor]"
    """The trained tensors by part of the layer."""
    alpha: float | None
    """The alpha of the layer; None: the file has none, and the product is not scaled."""
    rank_stabilized: bool = False
    """Whether alpha is divided by the root of the rank: Kalajdzievski 2023, https://arxiv.org/abs/2312.03732."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The settings that the file has for the layer's component; empty where there are none."""
    rank: int | None = None
    """The rank by the file's settings; None: the file has none."""

    def scale(self, rank: int | None = None) -> float:
        """Returns what the product is multiplied with: alpha over the rank, or over its root; 1 without an alpha.

        rank: as the tensors tell it; None: they do not.
        """
        rank = rank or self.rank
        if self.alpha is None or rank is None:
            return 1.0
        return self.alpha / (math.sqrt(rank) if self.rank_stabilized else rank)


class AdapterKind(Protocol):
    """A way to adapt a frozen network with few trained values; sweeps name it as `kind`.

    A class that inherits from this one defines what has no body here, and overrides whatever else differs.
    """

    name: str
    title: str
    """The name in sentences, for instance `LoRA`."""
    family: str
    """The name under which model hubs and MLflow file the kind."""
    options: type[AdapterOptions]
    """The class of the options that a sweep may set for one such adapter."""
    axes: tuple[str, ...]
    """The numeric options that order configurations: columns of tables and of MLflow."""
    formats: Mapping[str, Mapping[str, str]]
    """The endings of a tensor's key by part of the layer, for each file format that has the kind; `peft` always is."""
    spellings: Mapping[str, tuple[str, ...]]
    """The endings that trainers give a tensor's key, with the separator before them, by part of the layer."""
    settings: tuple[str, ...] = ()
    """The fields of peft's configuration that a file of this kind may set beside those that any file may."""
    targets: tuple[str, ...] | None = None
    """The names of the layers that the kind is for; None: the linear layers and convolutions that a trial says."""
    has_own_file: bool = False
    """Whether exports have it in a file of its own, beside that of the others."""
    shared: tuple[str, ...] = ()
    """The options that all adapters of this kind in one component have in common."""

    def tag(self, options: Any) -> str:
        """Returns the adapter's part of a trial's id, for instance `r4`: letters, digits, `_`, `-`, `.`."""

    def label(self, options: Any) -> str:
        """Returns the adapter's part of a trial's title after its placement, for instance `rank 4`."""

    def count(self, layers: Mapping[str, tuple[int, ...]], options: Any) -> int:
        """Counts the trained values of an adapter of `layers`, the shapes of their weights by name."""

    def word(self, options: Any) -> str:
        """Returns what stands in prompts for tokens that it learns; usually nothing."""
        return ""

    def prefix(self, options: Any) -> str:
        """Returns what every caption and prompt begins with where such an adapter is; usually nothing."""
        return ""

    def attach(
        self,
        module: "nn.Module",
        component: str,
        layers: Mapping[str, Any],
        training: TrainingConfig,
        seed: int,
        tokens: Callable[[str], Sequence[int]] | None = None,
    ) -> "dict[str, nn.Parameter]":
        """Adds a trainable float32 adapter that leaves the output unchanged, and returns its parameters by name.

        Args:
            module: a component of the model, frozen.
            component: its name, which the returned names begin with.
            layers: the options of each layer that is adapted, by its name in the module.
            training: the settings that all adapters of a trial share.
            seed: of the initial values, each of which is drawn by the name of its module.
            tokens: the padded row of token numbers that the component reads for a text; None: it reads no text.
        """

    def rate(self, name: str, options: Any, training: TrainingConfig) -> float:
        """Returns how much faster than others a parameter learns: the factor of the learning rate.

        Args:
            name: as `attach` has returned it.
            options: of the adapter of its layer.
            training: the settings that all adapters of a trial share.
        """
        return 1.0

    def detach(self, module: "nn.Module") -> None:
        """Takes an attached adapter off again, so that the module is as it was before, bit for bit."""

    def collect(self, module: "nn.Module") -> tuple[Parts, dict[str, Any]]:
        """Returns the trained tensors of a module that carries the adapter, and the settings that its files hold."""

    def check_shapes(
        self,
        layer: str,
        keys: Mapping[str, str],
        shapes: Mapping[str, tuple[int, ...]],
        weight: tuple[int, ...],
    ) -> None:
        """Checks the tensors that a file has for a layer against the layer's weight.

        Args:
            layer: its name.
            keys: of the file, by part; parts may be missing.
            shapes: of the tensors, by part.
            weight: the shape of the layer's weight.

        Raises:
            ConfigError: they do not fit; names the key.
        """

    def has_own_rate(self, options: Any, training: TrainingConfig) -> bool:
        """Whether any of its values learns at another rate than the trial's (`rate`)."""
        return False

    def needs_plain_weights(self, options: Any, quantization: str) -> str | None:
        """Returns why it cannot be trained on weights that are rounded to `nf4` or `int8`; None where it can."""
        return None

    def lacks(self, parts: set[str]) -> str | None:
        """Returns what a layer needs, and which of it is not among the parts that it has; None where nothing is."""
        missing = [part for part in self.spellings if part not in parts]
        return f"{' and '.join(self.spellings)}, and has no {missing[0]}" if missing else None

    def fuse(self, module: "nn.Module", layers: Mapping[str, LayerTensors], strength: float) -> Callable[[], None]:
        """Puts trained tensors into the module; the returned function takes them out again, bit for bit.

        Args:
            module: a component of the model, with layers of these names.
            layers: by name, what `check_shapes` has let pass.
            strength: 1 is the strength of training, 0 leaves the module as it is.
        """

    def for_kohya(
        self, tensors: "Mapping[str, np.ndarray]", scale: float, usual: float
    ) -> "tuple[dict[str, np.ndarray], float]":
        """Returns the tensors of a layer, and its alpha, so that readers of kohya's files give it this scale.

        usual: the alpha of most layers of its component.
        """
        raise AssertionError(f"kohya's files have no place for {self.title}")

    def sd_scripts_keys(self, options: Any, training: TrainingConfig) -> dict[str, Any]:
        """Returns kohya's sd-scripts' metadata of such an adapter in a file, without the prefix `ss_`."""
        raise AssertionError(f"kohya's files have no place for {self.title}")
