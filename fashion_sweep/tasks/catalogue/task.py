"""Defines the task of a sweep: trials learn a catalogue's photographs, and are judged on evaluation sets."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fashion_sweep.config.preset import Preset, RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue, check_tolerable
from fashion_sweep.data.listing import problems_csv
from fashion_sweep.data.sets import locate_data, open_data
from fashion_sweep.encodings.cache_part import CachePart
from fashion_sweep.errors import DataError
from fashion_sweep.handover.task_card import TaskCard
from fashion_sweep.report.results import TrialResult
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.storage.files import write_text
from fashion_sweep.tasks.catalogue.columns import columns_of
from fashion_sweep.tasks.preflight import check_catalogue
from fashion_sweep.tracking.registry import RegistryEntry, entry_of_winner, winner
from fashion_sweep.tracking.tracked import Columns

if TYPE_CHECKING:
    from fashion_sweep.tasks.trial_worker import TrialWorker


class CatalogueTask:
    """Implements `tasks.task.Task` for a sweep over a catalogue."""

    name = "catalogue"
    fails_unread = False

    def open(self, name: str, config: RunConfig, run: RunPaths) -> Catalogue:
        source = config.preset.data[name]
        catalogue = open_data(name, source)
        listed_in = runs_root() / f"{name}-data-problems.csv"
        try:
            check_tolerable(catalogue, locate_data(name, source)[0], listed_in)
        except DataError:
            write_text(listed_in, problems_csv({name: catalogue.problems}))
            raise
        check_catalogue(name, catalogue, config)
        return catalogue

    def keep(self, catalogue: Catalogue, run: RunPaths) -> Catalogue:
        return catalogue

    def original_size(self, config: RunConfig, name: str, catalogue: Catalogue) -> tuple[int, int]:
        return catalogue.original_size

    def trigger_words(self, config: RunConfig) -> Sequence[str]:
        return ()

    def negative_prompt(self, config: RunConfig, spec: TrialSpec) -> str | None:
        """Returns the negative prompt of the base model; None for a trained adapter, as in the study."""
        return config.preset.generation.base_negative_prompt if spec.is_base_model else None

    def check(self, config: RunConfig) -> None:
        for name in config.data_sets:
            locate_data(name, config.preset.data[name])

    def cache_parts(self, config: RunConfig, views: int) -> Sequence[CachePart]:
        return ()

    def trained_on(self, trial: "TrialWorker") -> dict[str, Any]:
        return {}

    def judge(self, trial: "TrialWorker") -> dict[str, Any]:
        from fashion_sweep.tasks.catalogue.judging import judge_trial

        return judge_trial(trial)

    def help(self, trial: "TrialWorker", name: str) -> None:
        from fashion_sweep.tasks.catalogue.judging import draw_with_others

        draw_with_others(trial, name)

    def summary(self, trial: "TrialWorker") -> dict[str, Any]:
        return {}

    def write_report(self, run: RunPaths, seconds: Mapping[str, float] | None = None) -> None:
        from fashion_sweep.report.page import write_report

        write_report(run, seconds)

    def show(self, run: RunPaths, console: Console) -> None:
        from fashion_sweep.report.summary import show_summary

        show_summary(run, console)

    def columns(self, config: RunConfig) -> Columns:
        return columns_of(config)

    def artifacts(self, run: RunPaths, spec: TrialSpec) -> Sequence[Path]:
        return ()

    def to_register(
        self, config: RunConfig, states: Mapping[TrialSpec, str], results: Mapping[str, Any]
    ) -> Sequence[TrialSpec]:
        """Returns the best trial by the verdict, once every trial is there to be compared."""
        best = None if "failed" in states.values() else self.best(config, list(states), results)
        return [best] if best else []

    def entry(self, run: RunPaths, config: RunConfig, spec: TrialSpec, results: Mapping[str, Any]) -> RegistryEntry:
        won = winner(config, [spec], results)
        assert won is not None
        return entry_of_winner(run, config, won)

    def best(self, config: RunConfig, specs: Sequence[TrialSpec], results: Mapping[str, Any]) -> TrialSpec | None:
        won = winner(config, specs, results)
        return won.spec if won else None

    def card(self, config: RunConfig, trial: TrialResult, verdicts: Mapping[str, Any]) -> TaskCard:
        from fashion_sweep.tasks.catalogue.card import card_of

        return card_of(config, trial, verdicts)

    judging = "features and CLIP score"

    def example(self, preset: Preset) -> None:
        """Returns None, since there are sweeps to rehearse."""

    def stand_in(self, config: RunConfig, run: RunPaths) -> None:
        """Returns None, since two images of each data set stand in for it."""

    def smaller(self, preset: Preset) -> Preset:
        return preset

    def pictures(self, config: RunConfig, spec: TrialSpec) -> int:
        return 0


CATALOGUE = CatalogueTask()
