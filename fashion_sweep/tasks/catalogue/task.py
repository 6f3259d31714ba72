"""The task of a sweep: trials learn a catalogue's photographs, and are judged on evaluation sets."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue, check_tolerable
from fashion_sweep.data.listing import problems_csv
from fashion_sweep.data.sets import locate_data, open_data
from fashion_sweep.errors import DataError
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.storage.files import write_text
from fashion_sweep.tasks.preflight import check_catalogue

if TYPE_CHECKING:
    from fashion_sweep.tasks.trial_worker import TrialWorker


class CatalogueTask:
    """As `tasks.task.Task`."""

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
        """The base model's alone, as in the study."""
        return config.preset.generation.base_negative_prompt if spec.is_base_model else None

    def trained_on(self, trial: "TrialWorker") -> dict[str, Any]:
        return {}

    def judge(self, trial: "TrialWorker") -> dict[str, Any]:
        from fashion_sweep.tasks.catalogue.judging import judge_trial

        return judge_trial(trial)

    def summary(self, trial: "TrialWorker") -> dict[str, Any]:
        return {}

    def write_report(self, run: RunPaths, seconds: Mapping[str, float] | None = None) -> None:
        from fashion_sweep.report.page import write_report

        write_report(run, seconds)

    def show(self, run: RunPaths, console: Console) -> None:
        from fashion_sweep.report.summary import show_summary

        show_summary(run, console)


CATALOGUE = CatalogueTask()
