"""Notices trials that hang. A worker, Train's controller or the trial's own actor cannot report that it hangs, so the
driver looks at the signs of life that a trial's processes leave, in the driver's own time."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial

from fashion_sweep.errors import StorageError
from fashion_sweep.run.paths import RunPaths, TrialPaths
from fashion_sweep.run.retries import Attempts
from fashion_sweep.run.stage_inputs import fetch_signs_of_life, fetch_standing
from fashion_sweep.run.status import read_status
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import write_text

logger = logging.getLogger(__name__)
LOOKS = 50
"""The number of looks at a trial within its patience, and of signs of life that it gives in that time."""
LAST_LOOK_S = 5.0
"""The seconds that the end of all trials waits for a look that has begun."""
ACTOR = "trial"
"""The file name of the process that looks after a trial's workers; each worker has a file named by its rank."""


class SignOfLife:
    """Writes the sign of life of one process of a trial; `give` may be called as often as one likes."""

    def __init__(self, paths: TrialPaths, name: str, patience_s: float) -> None:
        self._path, self._every_s = paths.signs_of_life / name, patience_s / LOOKS
        self._given = float("-inf")

    def give(self) -> None:
        if time.monotonic() - self._given > self._every_s:
            self._given = time.monotonic()
            write_text(self._path, f"{time.time()}\n")


class Watch(tune.Callback):
    """Ends the process of a trial that stands still, of those that Tune runs. Its workers end with it, and Tune begins
    the trial again. There is no gentler way where nobody answers."""

    def __init__(self, run: RunPaths, patience_s: float) -> None:
        self._run, self._patience_s = run, patience_s
        self._actors: dict[str, Any] = {}
        self._seen: dict[str, tuple[Any, float]] = {}
        """The signs of life and actor of each trial, and since when these have been the same."""

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        going = [trial for trial in trials if trial.status == Trial.RUNNING]
        actors = {trial.config["trial_id"]: trial.temporary_state.ray_actor for trial in going}
        self._actors = {trial_id: actor for trial_id, actor in actors.items() if actor is not None}

    def look(self) -> None:
        """Looks at each running trial and ends the ones that hang; to be called several times within the patience."""
        for trial_id, actor in self._actors.items():
            paths = self._run.trial(trial_id)
            with suppress(StorageError):
                signs = actor, _signs_of_life(paths)
                seen, since = self._seen.get(trial_id, (None, 0.0))
                if signs != seen:
                    self._seen[trial_id] = signs, time.monotonic()
                elif time.monotonic() - since > self._patience_s:
                    self._end(paths, actor)
                    self._seen[trial_id] = signs, time.monotonic()

    def _end(self, paths: TrialPaths, actor: Any) -> None:
        fetch_standing(paths)
        status = read_status(paths)
        doing = f"{status.get('stage', 'starting')}, step {status.get('step', 0)}, image {status.get('images', 0)}"
        error = f"stalled: no sign of life for {self._patience_s / 60:g} min ({doing}); see its log"
        logger.warning("%s %s", paths.root.name, error)
        attempts = Attempts(paths)
        if attempts.going:  # else it is noted, and a storage that failed kept the process from being ended
            attempts.fail(error)
        ray.kill(actor)


def _signs_of_life(paths: TrialPaths) -> dict[str, str]:
    """Returns the signs of life of a trial's workers, by file name. The trial's actor counts only while there are no
    workers, for it may wait for a machine as long as it has to; later its life says nothing of theirs."""
    folder, names = paths.signs_of_life, remote.names(paths.signs_of_life)
    fetch_signs_of_life(paths)
    return {name: _text(folder / name) for name in (names - {ACTOR}) or names}


def _text(path: Path) -> str:
    with suppress(FileNotFoundError):  # the trial has just ended
        return path.read_text(encoding="utf-8")
    return ""


@contextmanager
def watching(run: RunPaths, patience_s: float) -> Iterator[Watch]:
    """Watches the trials of `run` from a thread, so that a slow storage never holds up Tune."""
    watch, over = Watch(run, patience_s), threading.Event()

    def look_now_and_then() -> None:
        while not over.wait(patience_s / LOOKS):
            try:
                watch.look()
            except Exception:  # whatever is wrong with one look, the next one may go well
                logger.exception("could not look after the trials")

    thread = threading.Thread(target=look_now_and_then, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join(LAST_LOOK_S)
