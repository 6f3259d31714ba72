"""What kinds of adapters have in common that peft attaches and starts by itself. Imports torch only when it is used."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fashion_sweep.adapters.kind import AdapterKind, LayerTensors, Parts
from fashion_sweep.config.training import TrainingConfig

if TYPE_CHECKING:
    from torch import Tensor, nn


class PeftKind(AdapterKind):
    """The part of `adapters.kind.AdapterKind` that is alike for kinds which peft attaches and starts by itself."""

    peft_type: str
    """Its name in peft's `PeftType`."""

    def config(self, module: "nn.Module", layers: Mapping[str, Any], training: TrainingConfig) -> dict[str, Any]:
        """Returns the values of peft's configuration that adapts these layers, and no other."""
        raise NotImplementedError

    def reset(self, layer: Any) -> None:
        """Sets the parameters of a layer that peft has wrapped to where they start."""
        layer.reset_adapter_parameters("default")

    def combined(self, weight: "Tensor", layer: LayerTensors, strength: float) -> "Tensor":
        """Returns the weight with the adapter, computed in float32."""
        raise NotImplementedError

    def attach(
        self,
        module: "nn.Module",
        component: str,
        layers: Mapping[str, Any],
        training: TrainingConfig,
        seed: int,
        tokens: Callable[[str], Sequence[int]] | None = None,
    ) -> "dict[str, nn.Parameter]":
        from peft import get_peft_config, inject_adapter_in_model

        from fashion_sweep.adapters import wrapping

        values = {"peft_type": self.peft_type, **self.config(module, layers, training)}
        inject_adapter_in_model(get_peft_config(values), module)
        return wrapping.start(module, component, seed, self.reset)

    def detach(self, module: "nn.Module") -> None:
        from fashion_sweep.adapters import wrapping

        wrapping.detach(module)

    def collect(self, module: "nn.Module") -> tuple[Parts, dict[str, Any]]:
        from fashion_sweep.adapters import wrapping

        return wrapping.collect(module, self.formats["peft"])

    def fuse(self, module: "nn.Module", layers: Mapping[str, LayerTensors], strength: float) -> Callable[[], None]:
        from fashion_sweep.adapters import wrapping

        return wrapping.fuse(module, layers, strength, self.combined)
