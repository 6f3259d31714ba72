"""Attaches a trial's adapters to a loaded model before training, and saves them after it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from fashion_sweep.adapters.formats import SavedAdapter, write_diffusers
from fashion_sweep.adapters.metadata import PREFIX
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.doors import ADAPTER_KINDS, ARCHITECTURES


def attach(
    components: Mapping[str, nn.Module], spec: TrialSpec, training: TrainingConfig, seed: int
) -> dict[str, nn.Parameter]:
    """Adds the adapters of `spec` to the components of a model, and returns the trained parameters by name.

    The output is unchanged until something is trained.
    """
    architecture = ARCHITECTURES[spec.architecture]
    parameters: dict[str, nn.Parameter] = {}
    for component, one in spec.adapted.items():
        targets = training.target_modules or architecture.target_modules(component)
        module, kind = components[component], ADAPTER_KINDS[one.kind]
        parameters |= kind.attach(module, component, targets, one.options, training, seed)
    return parameters


def detach(components: Mapping[str, nn.Module], spec: TrialSpec) -> None:
    """Takes the adapters of `spec` off again: the components are as they were before `attach`."""
    for component, one in spec.adapted.items():
        ADAPTER_KINDS[one.kind].detach(components[component])


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
    for component, one in spec.adapted.items():
        parts, config = ADAPTER_KINDS[one.kind].collect(components[component])
        tensors |= {(component, layer, part): values for (layer, part), values in parts.items()}
        configs[component] = config | {"base_model_name_or_path": base_model}
    write_diffusers(path, SavedAdapter(tensors, configs, {}), ARCHITECTURES[spec.architecture], about or {})
