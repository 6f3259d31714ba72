"""Defines what a trial learns and is judged by: the protocol that each entry of `doors.TASKS` follows.

Its methods import late: Ray loads tasks into processes that never train, and quick commands need no torch.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console

from fashion_sweep.config.preset import Preset, RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue
from fashion_sweep.doors import TASKS
from fashion_sweep.encodings.parts import Cached
from fashion_sweep.handover.task_card import HandedOver
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.tracking.tracked import Tracked

if TYPE_CHECKING:
    from fashion_sweep.tasks.trial_worker import TrialWorker


class Task(Cached, Tracked, HandedOver, Protocol):
    """Opens its data, trains, judges, reports, shows, registers and forecasts."""

    name: str
    """The name of the task in `doors.TASKS`, and of its summary in a trial's result."""
    fails_unread: bool
    """Whether what cannot be read is the failure of a trial, rather than left out."""

    def check(self, config: RunConfig) -> None:
        """Checks what can be checked before data is opened.

        Raises:
            ConfigError: what is to be opened cannot be there.
        """

    def open(self, name: str, config: RunConfig, run: RunPaths) -> Catalogue:
        """Opens a data set and returns its records.

        Raises:
            DataError: what is there cannot be used.
        """

    def keep(self, catalogue: Catalogue, run: RunPaths) -> Catalogue:
        """Copies what the run must not lose into its folder."""

    def original_size(self, config: RunConfig, name: str, catalogue: Catalogue) -> tuple[int, int]:
        """Returns the (height, width) that pictures like those of a data set are conditioned on."""

    def trigger_words(self, config: RunConfig) -> Sequence[str]:
        """Returns the words that call up what was learnt, and nothing else does."""

    def negative_prompt(self, config: RunConfig, spec: TrialSpec) -> str | None:
        """Returns the negative prompt that a trial's pictures are judged with."""

    def trained_on(self, trial: "TrialWorker") -> dict[str, Any]:
        """Returns the fields of `Adaptation` that say which images are trained on, where not on the training split."""

    def judge(self, trial: "TrialWorker") -> dict[str, Any]:
        """Draws and judges as one of the trial's workers; returns the metrics by evaluation set, on worker 0."""

    def help(self, trial: "TrialWorker", name: str) -> None:
        """Takes part in the shared work of that name, which `judge` has begun in another lane."""

    def summary(self, trial: "TrialWorker") -> dict[str, Any]:
        """Returns what else the trial's result says, under the task's name."""

    def write_report(self, run: RunPaths, seconds: Mapping[str, float] | None = None) -> None:
        """Writes the report of what the run has come to.

        Args:
            run: the run folder.
            seconds: where the time went, by stage; None: as it was last written.
        """

    def show(self, run: RunPaths, console: Console) -> None:
        """Prints the answer and the tables of the report."""

    judging: str
    """What is done with a picture that was drawn, in words for a rehearsal."""

    def example(self, preset: Preset) -> RunConfig | None:
        """Returns what is rehearsed where the task is named in place of a sweep; None where there are sweeps."""

    def stand_in(self, config: RunConfig, run: RunPaths) -> Catalogue | None:
        """Returns made-up data in the folder of a rehearsal; None where two of the real ones stand in."""

    def smaller(self, preset: Preset) -> Preset:
        """Returns the preset with the task's own settings as small as a rehearsal can be."""

    def pictures(self, config: RunConfig, spec: TrialSpec) -> int:
        """Returns how many pictures a trial draws to be judged, beside those for evaluation sets."""


def task_of(config: RunConfig) -> Task:
    """Returns the task of a run."""
    task: Task = TASKS[config.sweep.task]
    return task
