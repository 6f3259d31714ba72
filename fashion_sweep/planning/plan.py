"""The trials of a sweep with their exact sizes, from the base model's configs alone."""

from dataclasses import dataclass
from typing import Any

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.sweep import Sweep
from fashion_sweep.config.training_axes import TRAINING_AXES
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.planning.space import feasible, parameters_of

BYTES_PER_PARAMETER = 4
"""The bytes of one parameter: adapters are trained and saved in float32."""


@dataclass(frozen=True)
class PlannedTrial:
    trial_id: str
    title: str
    adapters: dict[str, Any]
    """The adapters by placement, as sweep files have them."""
    training: dict[str, Any]
    """The training settings that the trial sets for itself."""
    replicate: int
    parameters: int
    adapter_bytes: int
    """The size of the adapters' tensors."""
    share: float
    """The trial's share of the parameters of those components of the base model that can carry adapters."""


def resolved(config: RunConfig) -> RunConfig:
    """Writes out the space of the sweep, if it has one, as trials; that of a search stays.

    Raises:
        ConfigError: nothing meets the budget, or a trial adapts layers that the model has not.
    """
    space = config.sweep.space
    if space is None:
        for spec in config.specs:
            parameters_of(config, spec)
        return config
    trials = [spec.values for spec in feasible(config, space)]
    if config.sweep.search is not None:
        return config
    sweep = Sweep.model_validate(config.sweep.model_dump() | {"trials": trials, "space": None})
    return config.model_copy(update={"sweep": sweep})


def plan(config: RunConfig) -> list[PlannedTrial]:
    """Plans the trials of a resolved configuration in the order of the sweep; of a search, those to choose from."""
    family, base = config.architecture, config.preset.model.base
    whole = sum(family.layers(base, component).parameters for component in family.components)
    planned = []
    for spec in specs_of(config):
        parameters = parameters_of(config, spec)
        planned.append(
            PlannedTrial(
                trial_id=spec.trial_id,
                title=spec.title,
                adapters=spec.adapter_values,
                training={key: value for key, value in spec.values.items() if key in TRAINING_AXES},
                replicate=spec.replicate,
                parameters=parameters,
                adapter_bytes=parameters * BYTES_PER_PARAMETER,
                share=parameters / whole,
            )
        )
    return planned


def specs_of(config: RunConfig) -> list[TrialSpec]:
    """Returns every trial of a configuration; of a search, those it may choose from."""
    space = config.sweep.space
    return feasible(config, space) if space else list(config.specs)


def trials_wanted(config: RunConfig) -> int:
    """Returns how many trials a search begins: as many as it says, if its space has so many; 0 without a search."""
    search, space = config.sweep.search, config.sweep.space
    if search is None or space is None:
        return 0
    return search.trials if space.ranges else min(search.trials, len(feasible(config, space)))
