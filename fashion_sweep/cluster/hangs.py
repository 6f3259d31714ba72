"""Notices trials that hang. What hangs has no word to say, be it a worker, Train's controller or the trial's own actor,
so the driver looks at the signs of life that a trial's processes leave, in the driver's own time."""

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
"""How often within its patience a trial is looked at, and tells of itself."""
LAST_LOOK_S = 5.0
"""For which the end of all trials waits for a look that has begun."""
ACTOR = "trial"
"""The file of the process that looks after a trial's workers; each of these has one named by its rank."""


class SignOfLife:
    """What one process of a trial leaves from time to time: `give` may be called as often as one likes."""

    def __init__(self, paths: TrialPaths, name: str, patience_s: float) -> None:
        self._path, self._every_s = paths.signs_of_life / name, patience_s / LOOKS
        self._given = float("-inf")

    def give(self) -> None:
        if time.monotonic() - self._given > self._every_s:
            self._given = time.monotonic()
            write_text(self._path, f"{time.time()}\n")


class Watch(tune.Callback):
    """Knows the trials that Tune runs, and ends the process of one that stands still, which takes its workers along:
    Tune begins the trial again. There is no gentler way where nobody answers."""

    def __init__(self, run: RunPaths, patience_s: float) -> None:
        self._run, self._patience_s = run, patience_s
        self._actors: dict[str, Any] = {}
        self._seen: dict[str, tuple[Any, float]] = {}
        """By trial: its signs of life with its actor, and since when these have been the same."""

    def on_step_begin(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        going = [trial for trial in trials if trial.status == Trial.RUNNING]
        actors = {trial.config["trial_id"]: trial.temporary_state.ray_actor for trial in going}
        self._actors = {trial_id: actor for trial_id, actor in actors.items() if actor is not None}

    def look(self) -> None:
        """To be called several times within the patience."""
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
        known = read_status(paths)
        doing = f"{known.get('stage', 'starting')}, step {known.get('step', 0)}, image {known.get('images', 0)}"
        error = f"stalled: no sign of life for {self._patience_s / 60:g} min ({doing}); see its log"
        logger.warning("%s %s", paths.root.name, error)
        attempts = Attempts(paths)
        if attempts.going:  # else it is noted, and a storage that failed kept the process from being ended
            attempts.fail(error)
        ray.kill(actor)


def _signs_of_life(paths: TrialPaths) -> dict[str, str]:
    """Those of the workers. The trial's actor counts while there are none, for it may wait for a machine as long as it
    has to; later its life says nothing of theirs."""
    folder, names = paths.signs_of_life, remote.names(paths.signs_of_life)
    fetch_signs_of_life(paths)
    return {name: _text(folder / name) for name in (names - {ACTOR}) or names}


def _text(path: Path) -> str:
    with suppress(FileNotFoundError):  # the trial has just ended
        return path.read_text(encoding="utf-8")
    return ""


@contextmanager
def watching(run: RunPaths, patience_s: float) -> Iterator[Watch]:
    """Looks from a thread, so that a slow storage never holds up Tune; `run` is that of the trials to be watched."""
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
