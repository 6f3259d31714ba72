"""What MLflow shows of a run that depends on its task: each task of `doors.TASKS` answers this."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.doors import TASKS
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.tracking.registry import Entry


@dataclass(frozen=True)
class Columns:
    """What the saved views of a run show, by the names of params and metrics."""

    params: Sequence[str]
    metrics: Sequence[str]
    """What the answer goes by, first."""
    quality: Sequence[str]
    """Those of them that charts show."""
    section: str
    """The title above those charts."""
    ascends: bool
    """Whether small values of the first metric are the best ones."""
    sizes_differ: bool
    """Whether charts against the number of parameters tell anything."""


class Tracked(Protocol):
    """The part of a task that the mirror asks."""

    def columns(self, config: RunConfig) -> Columns:
        """What the saved views show."""

    def artifacts(self, run: RunPaths, spec: TrialSpec) -> Sequence[Path]:
        """Files of a trial that is done, beside its adapter and samples."""

    def to_register(
        self, config: RunConfig, states: Mapping[TrialSpec, str], results: Mapping[str, Any]
    ) -> Sequence[TrialSpec]:
        """Trials whose adapters belong into the model registry by now.

        Args:
            config: of the run.
            states: of all its trials, as `run.status.state_of` has them.
            results: what `results.json` holds; empty until all have ended and the report is written.
        """

    def entry(self, run: RunPaths, config: RunConfig, spec: TrialSpec, results: Mapping[str, Any]) -> Entry:
        """What the registry is told of such a trial's adapter."""


def tracked(config: RunConfig) -> Tracked:
    """The task of a run."""
    task: Tracked = TASKS[config.sweep.task]
    return task
