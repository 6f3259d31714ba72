"""Runs the race of a sweep: asks lanes for the looks that the verdict needs, until it needs none.

It goes on beside the trainings that are left, which come first. What it asks for follows from what the run folder
holds, so a run that goes on asks for the same.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fashion_sweep.cluster.asking import Asking
from fashion_sweep.cluster.lanes import Lanes
from fashion_sweep.cluster.logs import one_line
from fashion_sweep.cluster.worker import TrainFn
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.errors import FashionSweepError, RunError
from fashion_sweep.judging.race import judged_configurations, races_of
from fashion_sweep.judging.standing import write_standings
from fashion_sweep.run.paths import RunPaths, TrialPaths
from fashion_sweep.run.retries import queue
from fashion_sweep.run.specs import run_specs
from fashion_sweep.run.stage_inputs import fetch_outcome
from fashion_sweep.statistics.race import Race
from fashion_sweep.storage.files import read_json

logger = logging.getLogger(__name__)
LOOK_EVERY_S = 0.5
PATIENCE_S = 5.0
"""For which the end of a run waits for the race to notice it."""

Due = dict[str, dict[str, int]]
"""By trial and evaluation set, the images that it is to be judged on."""


def due_of(run: RunPaths, config: RunConfig, races: Mapping[str, Race], all_there: bool = True) -> Due:
    """Returns the trials that are to be judged further; `all_there`: no other will join."""
    due: Due = {}
    for name, race in races.items():
        configurations = judged_configurations(run, config, name)
        further = race.due if race.end is None or not all_there else _to_complete(config, race)
        for title, images in {**race.images, **further}.items():
            for spec in configurations[title]:
                if not _is_there(run.trial(spec.trial_id), name, images):
                    due.setdefault(spec.trial_id, {})[name] = images
    return due


def _is_there(trial: TrialPaths, name: str, images: int) -> bool:
    """Whether a trial was brought to a look; its result is written last."""
    looks = read_json(trial.result, {}).get("evaluations", {}).get(name, {}).get("looks", {})
    return trial.estimates(name, images).is_file() and (not looks or str(images) in looks)


def _to_complete(config: RunConfig, race: Race) -> dict[str, int]:
    """Returns the configurations whose numbers are wanted in full once the race is over."""
    wanted = {"all": list(race.images), "front": [*race.front(surely=True), race.best], "winner": [race.best]}
    return dict.fromkeys(wanted.get(config.sweep.choose.complete or "", []), config.preset.evaluation.samples)


class Racing:
    """A race while it runs, in a thread of the driver."""

    def __init__(self, lanes: Lanes, config: RunConfig, train_fn: TrainFn) -> None:
        self._lanes, self._config, self._asking = lanes, config, Asking(lanes, train_fn)
        self._over, self._all_there = threading.Event(), threading.Event()
        self._failed: dict[str, str] = {}
        self._error: Exception | None = None
        self.thread = threading.Thread(target=self._watch, name="race", daemon=True)

    def finish(self) -> dict[str, str]:
        """Goes on to the end, now that no trial is to join.

        Returns:
            What made the judging of trials fail that the race still needs, in one line each.

        Raises:
            RunError: nothing can go on, or what was judged is damaged.
        """
        self._all_there.set()
        while self.thread.is_alive():
            self.thread.join(LOOK_EVERY_S / 2)
            if self._lanes.lost:
                raise RunError(f"{self._lanes.lost}; resume goes on")
        if isinstance(self._error, FashionSweepError):
            raise self._error
        if self._error:
            raise RunError(f"the race went wrong: {one_line(self._error)}; resume goes on") from self._error
        return self._failed

    def leave(self) -> None:
        """Ends the thread; one that waits for an answer of Ray's gets none any more."""
        self._over.set()
        self.thread.join(PATIENCE_S)

    def _watch(self) -> None:
        try:
            self._run()
        except Exception as error:
            if not isinstance(error, FashionSweepError):
                logger.exception("the race went wrong")
            self._error = error

    def _run(self) -> None:
        run, known = self._lanes.run, None
        while not self._over.is_set():
            ended = self._asking.ended(LOOK_EVERY_S)
            for trial_id, error in ended.items():
                fetch_outcome(run.trial(trial_id))
                if error:
                    self._failed[trial_id] = error
            all_there = self._all_there.is_set()
            judged = [
                spec.trial_id for spec in run_specs(run, self._config) if run.trial(spec.trial_id).result.is_file()
            ]
            if ended or known != (judged, all_there):
                known = judged, all_there
                self._ask(all_there)
            if all_there and not self._asking.trials:
                return
            if not self._asking.trials:
                self._over.wait(LOOK_EVERY_S)

    def _ask(self, all_there: bool) -> None:
        run = self._lanes.run
        races = races_of(run, self._config)
        write_standings(run, races, all_there)
        for trial_id, looks in due_of(run, self._config, races, all_there).items():
            if self._over.is_set():  # to ask after Ray's end would start another one
                return
            if trial_id not in self._asking.trials and trial_id not in self._failed:
                queue(run.trial(trial_id))
                self._asking.ask(trial_id, looks)


@contextmanager
def race_beside(lanes: Lanes, config: RunConfig, train_fn: TrainFn) -> Iterator[Racing]:
    """Runs the race of a sweep while the block runs."""
    racing = Racing(lanes, config, train_fn)
    racing.thread.start()
    try:
        yield racing
    finally:
        racing.leave()
