"""Mirrors run folders into MLflow. The only importer of mlflow, lazily, since that takes seconds.

The run folder is the truth. A mirror finds what it made earlier by tags of ours, adds what is missing, and adds
nothing twice: metrics carry the time at which they were measured, so that even a replay from the first line
stores no second row.
"""

import sys
import threading
import time
from types import TracebackType

from fashion_sweep.errors import RunError
from fashion_sweep.files import read_json
from fashion_sweep.paths import RunPaths
from fashion_sweep.tracking.mirroring import Mirroring
from fashion_sweep.tracking.registry import fetch
from fashion_sweep.tracking.store import check_answers, client, shown, tracking_uri
from fashion_sweep.tracking.ui import open_ui

__all__ = ["Mirror", "fetch", "mirror", "open_ui", "remove_experiment", "tracking_uri"]

INTERVAL_S = 5.0
PATIENCE_S = 30.0
"""How long a run waits, at its end, for MLflow to catch up."""


def mirror(run: RunPaths, going: bool | None = None) -> None:
    """Brings MLflow up to date with the run folder; may be called at any time, any number of times.

    Args:
        run: the run folder; half-finished is fine.
        going: whether somebody works on the run: True marks what is unfinished as RUNNING, False as KILLED, None
            (who knows) leaves its status as it is.

    Raises:
        RunError: no run is there, or the tracking server does not answer.
    """
    if not run.config.is_file():
        raise RunError(f"{run.root} is no run folder: it has no {run.config.name}")
    uri = tracking_uri()
    check_answers(uri)
    Mirroring(client(uri), uri, run, going).everything()


def remove_experiment(run: RunPaths) -> None:
    """Takes the experiment that `run` was mirrored into out of sight: of what is not to be kept."""
    store, known = client(tracking_uri()), read_json(run.mirror, {})
    if parent := known.get("run_id"):
        store.delete_experiment(store.get_run(parent).info.experiment_id)


class Mirror:
    """Context manager: mirrors in the background while a run goes on, and once more at its end.

    Whatever MLflow does, the run neither fails nor waits longer than `PATIENCE_S`: trouble goes to the run's log.
    """

    def __init__(self, run: RunPaths, interval_s: float = INTERVAL_S) -> None:
        self.behind: str | None = None
        """Why MLflow does not show all of the run; None where it does."""
        self._run = run
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._interrupted = False
        self._thread = threading.Thread(target=self._loop, name="mlflow-mirror", daemon=True)

    def __enter__(self) -> "Mirror":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._interrupted = kind is not None
        self._ended.set()
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            self._warn(f"not finished after {PATIENCE_S:.0f} s")
        if self.behind:
            catch_up = f"python -m fashion_sweep sync {self._run.name}"
            print(f"MLflow ({shown(tracking_uri())}) is behind: {self.behind}; {catch_up} mends it", file=sys.stderr)

    def _loop(self) -> None:
        self._once(going=True)
        while not self._ended.wait(self._interval_s):
            self._once(going=True)
        self._once(going=not self._interrupted)

    def _once(self, going: bool) -> None:
        try:
            mirror(self._run, going)
            self.behind = None
        except Exception as error:  # a boundary: results are safe in the run folder, whatever MLflow does
            self._warn(" ".join(f"{type(error).__name__}: {error}".split())[:300])

    def _warn(self, trouble: str) -> None:
        if trouble != self.behind:
            with self._run.log.open("a", encoding="utf-8") as log:
                log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} WARNING MLflow is behind: {trouble}\n")
        self.behind = trouble
