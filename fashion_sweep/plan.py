"""The trials of a sweep with their exact sizes, from the base model's configs alone."""

from dataclasses import dataclass

from fashion_sweep.config import Budget, RunConfig
from fashion_sweep.models.locate import locate_architecture
from fashion_sweep.models.lora import component_parameters, count_parameters
from fashion_sweep.space import COMPONENTS, Interval, TrialSpec, combinations, within

BYTES_PER_PARAMETER = 4
"""Adapters are trained and saved in float32."""


@dataclass(frozen=True)
class PlannedTrial:
    trial_id: str
    title: str
    ranks: dict[str, int]
    parameters: int
    adapter_bytes: int
    """Of its tensors."""
    share: float
    """Of the parameters of the base model's UNet and text encoders."""


def resolved(config: RunConfig) -> RunConfig:
    """The same, with the space of its sweep, if it has one, written out as trials.

    Raises:
        ConfigError: nothing meets the budget.
    """
    space = config.sweep.space
    if space is None:
        return config
    base = _base(config)
    found = within(
        combinations(space.placements, space.ranks),
        lambda spec: count_parameters(base, spec),
        _interval(space.budget, base),
    )
    trials = [dict(spec.ranks) for spec in found]
    sweep = config.sweep.model_copy(update={"trials": trials, "space": None})
    return config.model_copy(update={"sweep": sweep})


def plan(config: RunConfig) -> list[PlannedTrial]:
    """The trials of a resolved configuration, in the order of the sweep."""
    base = _base(config)
    whole = sum(component_parameters(base, component) for component in COMPONENTS)
    planned = []
    for spec in config.sweep.specs:
        parameters = count_parameters(base, spec)
        planned.append(
            PlannedTrial(
                trial_id=spec.trial_id,
                title=spec.title,
                ranks=dict(spec.ranks),
                parameters=parameters,
                adapter_bytes=parameters * BYTES_PER_PARAMETER,
                share=parameters / whole,
            )
        )
    return planned


def _base(config: RunConfig) -> str:
    return locate_architecture(config.preset.model.base, "model.base")


def _interval(budget: Budget, base: str) -> Interval:
    parameters = budget.parameters
    if parameters is None:
        parameters = count_parameters(base, TrialSpec.of(budget.equal_to or {}))
    return Interval.around(parameters, budget.tolerance)
