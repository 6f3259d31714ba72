"""Attaches a trial's adapters to a loaded model before training, and saves them after it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fashion_sweep.adapters.dropout import SampleDropout
from fashion_sweep.adapters.formats import SavedAdapter, write_diffusers
from fashion_sweep.adapters.kind import AdapterKind
from fashion_sweep.adapters.metadata import PREFIX, kinds_key
from fashion_sweep.adapters.placing import placed_layers
from fashion_sweep.config.placed_adapter import PlacedAdapter
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.doors import ADAPTER_KINDS, ARCHITECTURES

ADAPTABLE = (nn.Linear, nn.Conv2d, nn.Embedding)
"""The layers that can carry an adapter."""


class TrainedParameters(dict[str, nn.Parameter]):
    """The trained parameters of a trial by name, and how much faster than others each learns."""

    def __init__(self) -> None:
        self.rates: dict[str, float] = {}
        """The factor of the learning rate for each parameter."""
        self.dropouts: list[SampleDropout] = []
        """The dropout of the adapters' inputs, where there is any."""

    def draw_dropout(self, samples: Tensor | None) -> None:
        """Sets what the next forward passes drop: by a number for each sample, N int64; None: nothing."""
        for dropout in self.dropouts:
            dropout.samples = samples

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The parameters by their `rate`, as torch's optimizers take them."""
        members: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.items():
            members.setdefault(self.rates[name], []).append(parameter)
        return [{"params": parameters, "rate": rate} for rate, parameters in members.items()]


def attach(
    components: Mapping[str, nn.Module],
    spec: TrialSpec,
    training: TrainingConfig,
    seed: int,
    tokens: Callable[[str, str], Sequence[int]] | None = None,
) -> TrainedParameters:
    """Adds the adapters of `spec` to the components of a model, and returns the trained parameters by name.

    The output is unchanged until something is trained, but for prompts that have a word which is learnt.

    tokens: `Model.token_row`, which adapters of words need.
    """
    names = {
        component: [name for name, layer in components[component].named_modules() if isinstance(layer, ADAPTABLE)]
        for component in spec.components
    }
    parameters = TrainedParameters()
    for component, placed in placed_layers(spec, names, training.target_modules).items():
        for kind in _kinds(spec, component):
            options = {layer: one.options for layer, one in placed.items() if one.kind == kind.name}
            row = partial(tokens, component) if tokens else None
            attached = kind.attach(components[component], component, options, training, seed, row)
            parameters.update(attached)
            for name in attached:
                of_layer = next(own for layer, own in options.items() if name.startswith(f"{component}.{layer}."))
                parameters.rates[name] = kind.rate(name, of_layer, training)
        modules = components[component].modules()
        parameters.dropouts += [module for module in modules if isinstance(module, SampleDropout)]
    return parameters


def _components(spec: TrialSpec, one: PlacedAdapter) -> tuple[str, ...]:
    named: tuple[str, ...] = ARCHITECTURES[spec.architecture].placements[one.part.placement].components
    return named


def _kinds(spec: TrialSpec, component: str) -> list[AdapterKind]:
    """Returns the kinds of the component's adapters: one for its weights (`placed_layers`), others for its words."""
    names = dict.fromkeys(one.kind for one in spec.adapters if component in _components(spec, one))
    return [ADAPTER_KINDS[name] for name in names]


def detach(components: Mapping[str, nn.Module], spec: TrialSpec) -> None:
    """Takes the adapters of `spec` off again: the components are as they were before `attach`."""
    for component in spec.components:
        for kind in _kinds(spec, component):
            kind.detach(components[component])


def save(
    path: Path, components: Mapping[str, nn.Module], spec: TrialSpec, about: Mapping[str, str] | None = None
) -> None:
    """Writes the trained adapters to one file, with the settings and the base model of each in its metadata.

    Args:
        path: the file.
        components: as `attach` left them.
        spec: the trial.
        about: what else the file says of itself, as `metadata.own_keys` has it.
    """
    tensors: dict[tuple[str, str, str], Any] = {}
    configs: dict[str, dict[str, Any]] = {}
    base_model = (about or {}).get(f"{PREFIX}base_model")
    kinds = {component: [kind.name for kind in _kinds(spec, component)] for component in spec.components}
    told = {**(about or {}), **kinds_key(kinds)}
    for component in spec.components:
        configs[component] = {"base_model_name_or_path": base_model}
        for kind in _kinds(spec, component):
            parts, config = kind.collect(components[component])
            tensors |= {(component, layer, part): values for (layer, part), values in parts.items()}
            configs[component] |= config | {"base_model_name_or_path": base_model}
    write_diffusers(path, SavedAdapter(tensors, configs, told), ARCHITECTURES[spec.architecture], told)
