"""The subject of a run: data sets, which train and are judged, or photos of garments. All that differs is here.

Imports late: Ray loads this module into processes that never train, and quick commands need no torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.console import Console

from fashion_sweep.cluster.worker import TrainFn, Worker
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.data.catalogue import Catalogue, check_tolerable
from fashion_sweep.data.garment import keep_photos
from fashion_sweep.data.listing import problems_csv
from fashion_sweep.data.sets import locate_data, open_data
from fashion_sweep.errors import DataError
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.storage.files import write_text
from fashion_sweep.tasks.garment.recipe import open_garments
from fashion_sweep.tasks.preflight import check_catalogue


@dataclass(frozen=True)
class Subject:
    open: Callable[[str, RunConfig, RunPaths], Catalogue]
    """Raises DataError: what is there cannot be used."""
    keep: Callable[[Catalogue, RunPaths], Catalogue]
    """Copies what the run must not lose into its folder."""
    train: TrainFn
    fails_unread: bool
    """Whether what cannot be read is the failure of a trial, rather than left out."""
    write_report: Callable[[RunPaths, Mapping[str, float] | None], None]
    """As `report.page.write_report`."""
    show: Callable[[RunPaths, Console], None]
    """Prints the answer and the tables of the report."""


def subject_of(config: RunConfig) -> Subject:
    return OF_GARMENTS if config.sweep.garments else OF_DATA_SETS


def open_data_set(name: str, config: RunConfig, run: RunPaths) -> Catalogue:
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


def train_and_judge(run: RunPaths, trial_id: str, worker: Worker) -> None:
    """Body of a trial's workers."""
    from fashion_sweep.tasks.catalogue.trial import run_trial

    run_trial(run, trial_id, worker)


def train_and_draw(run: RunPaths, trial_id: str, worker: Worker) -> None:
    """The same of a garment."""
    from fashion_sweep.tasks.catalogue.trial import run_trial
    from fashion_sweep.tasks.garment.trial import GarmentTrial

    run_trial(run, trial_id, worker, GarmentTrial)


def _report_of_data_sets(run: RunPaths, seconds: Mapping[str, float] | None = None) -> None:
    from fashion_sweep.report.page import write_report

    write_report(run, seconds)


def _show_data_sets(run: RunPaths, console: Console) -> None:
    from fashion_sweep.report.summary import show_summary

    show_summary(run, console)


def _report_of_garments(run: RunPaths, seconds: Mapping[str, float] | None = None) -> None:
    from fashion_sweep.tasks.garment.report import write_garment_report

    write_garment_report(run, seconds)


def _show_garments(run: RunPaths, console: Console) -> None:
    from fashion_sweep.tasks.garment.report import show_garments

    show_garments(run, console)


OF_DATA_SETS = Subject(
    open=open_data_set,
    keep=lambda catalogue, run: catalogue,
    train=train_and_judge,
    fails_unread=False,
    write_report=_report_of_data_sets,
    show=_show_data_sets,
)
OF_GARMENTS = Subject(
    open=lambda name, config, run: open_garments(config, run),
    keep=lambda catalogue, run: keep_photos(catalogue, run.photos),
    train=train_and_draw,
    fails_unread=True,
    write_report=_report_of_garments,
    show=_show_garments,
)
