"""Defines what each task of `doors.TASKS` answers about its runs for MLflow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.doors import TASKS
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.tracking.registry import RegistryEntry


@dataclass(frozen=True)
class Columns:
    """Names the params and metrics that the saved views of a run show."""

    params: Sequence[str]
    metrics: Sequence[str]
    """The metrics, with what the answer goes by first."""
    quality: Sequence[str]
    """The metrics that charts show."""
    section: str
    """The title above the charts of quality."""
    ascends: bool
    """Whether small values of the first metric are the best ones."""
    sizes_differ: bool
    """Whether charts against the number of parameters tell anything."""


class Tracked(Protocol):
    """Lists what the mirror asks of a task."""

    def columns(self, config: RunConfig) -> Columns:
        """Returns the params and metrics that the saved views show."""

    def artifacts(self, run: RunPaths, spec: TrialSpec) -> Sequence[Path]:
        """Returns the files of a finished trial that are sent beside its adapter and samples."""

    def to_register(
        self, config: RunConfig, states: Mapping[TrialSpec, str], results: Mapping[str, Any]
    ) -> Sequence[TrialSpec]:
        """Returns the trials whose adapters belong into the model registry by now.

        Args:
            config: of the run.
            states: of all its trials, as `run.status.state_of` has them.
            results: what `results.json` holds; empty until all have ended and the report is written.
        """

    def entry(self, run: RunPaths, config: RunConfig, spec: TrialSpec, results: Mapping[str, Any]) -> RegistryEntry:
        """Returns what the registry is told of the adapter of a trial that `to_register` named."""


def tracked(config: RunConfig) -> Tracked:
    """Returns the task of a run."""
    task: Tracked = TASKS[config.sweep.task]
    return task
