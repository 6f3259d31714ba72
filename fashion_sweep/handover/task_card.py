"""What exports ask of a run's task: its best trial, and what a model card says of one. Light, for quick commands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.doors import TASKS
from fashion_sweep.report.results import TrialResult


@dataclass(frozen=True)
class TaskCard:
    """The parts of a model card that the task of the run writes."""

    sections: Mapping[str, Sequence[str]]
    """The paragraphs on how good the adapter is, by title."""
    prompt: str
    """The prompt of the example."""
    caption: str | None = None
    """A caption that the adapter was trained on, where all are alike."""
    has_words: bool = False
    """Whether the prompt holds the trigger words already."""


class HandedOver(Protocol):
    """The interface of a task for exports."""

    def best(self, config: RunConfig, specs: Sequence[TrialSpec], results: Mapping[str, Any]) -> TrialSpec | None:
        """Returns the trial that is exported where none is named; None: the run came to no such answer.

        Args:
            config: of the run.
            specs: all its trials.
            results: what `results.json` holds.
        """

    def card(self, config: RunConfig, trial: TrialResult, verdicts: Mapping[str, Any]) -> TaskCard:
        """Returns the task's parts of a trial's model card; verdicts: by evaluation set, None where there is none."""


def handed_over(config: RunConfig) -> HandedOver:
    """Returns the task of a run, as exports use it."""
    task: HandedOver = TASKS[config.sweep.task]
    return task
