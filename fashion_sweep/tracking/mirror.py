"""Mirrors run folders into MLflow, beside a run or at once.

The run folder is the truth, and MLflow is asked what it lacks: it may be down, slow, restarted or lost at any time.
"""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

from fashion_sweep.errors import FashionSweepError, RunError
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage import locks
from fashion_sweep.storage.files import read_what_may_be_lost
from fashion_sweep.tracking.mirroring import Deleted, Mirroring
from fashion_sweep.tracking.store import check_answers, client, load, shown, tracking_uri, trouble

INTERVAL_S = 5.0
SHARE = 0.1
"""The largest share of the time that passes may take while MLflow answers."""
BACK_OFF_S = 60.0
"""The longest pause in seconds between passes while MLflow does not answer."""
PATIENCE_S = 30.0
"""The seconds that a run waits at its end for MLflow to catch up, and one process for another's pass."""
LAST_TRIES = 5
"""The number of passes at a run's end, for a server that answers badly."""


def mirror(run: RunPaths, going: bool | None = None) -> list[str]:
    """Brings MLflow up to date with the run folder; may be called at any time, any number of times.

    Args:
        run: the run folder; half-finished is fine.
        going: whether somebody works on the run: True marks what is unfinished as RUNNING, False as KILLED, None
            (who knows) leaves its status as it is.

    Returns:
        Titles of trials that are left out, because a user deleted their runs in MLflow.

    Raises:
        RunError: no run is there, a user deleted it in MLflow, or MLflow does not answer or refuses a part.
    """
    from mlflow.exceptions import MlflowException

    if not run.config.is_file():
        raise RunError(f"{run.root} is no run folder: it has no {run.config.name}")
    uri = tracking_uri()
    check_answers(uri)
    try:
        mirroring = Mirroring(uri, run)
        with _alone(run):
            while mirroring.go(going, thorough=True):
                pass
    except (MlflowException, OSError) as error:
        raise RunError(f"MLflow at {shown(uri)}: {trouble(error, uri)}") from error
    return mirroring.left_out


def remove_experiment(run: RunPaths) -> None:
    """Hides the experiment that `run` was mirrored into, as MLflow deletes it, where the run is not to be kept."""
    store, mirrored = client(tracking_uri()), read_what_may_be_lost(run.mirror)
    if parent := mirrored.get("run_id"):
        store.delete_experiment(store.get_run(parent).info.experiment_id)


@contextmanager
def _alone(run: RunPaths) -> Iterator[None]:
    """Keeps other processes from mirroring the run meanwhile: two that miss the same MLflow run would both make it."""
    with run.mirror_lock.open("w") as lock:
        given_up = time.monotonic() + PATIENCE_S
        while True:
            try:
                locks.lock(lock, wait=False)
                break
            except BlockingIOError:
                if time.monotonic() > given_up:
                    raise RunError(f"another process is bringing MLflow up to date with {run.root}") from None
            time.sleep(0.1)
        yield


class Mirror:
    """Mirrors in the background while a run goes on, and once more at its end; a context manager.

    Whatever MLflow does, the run neither fails nor waits longer than `PATIENCE_S`: trouble goes to the run's log.
    """

    def __init__(self, run: RunPaths, interval_s: float = INTERVAL_S) -> None:
        self.behind: str | None = None
        """The reason why MLflow does not show all of the run; None where it does."""
        self._run, self._uri = run, tracking_uri()
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._interrupted = False
        self._mirroring: Mirroring | None = None
        self._took = 0.0
        """The seconds that the last pass took."""
        self._logged: str | None = None
        self._thread = threading.Thread(target=self._loop, name="mlflow-mirror", daemon=True)

    def __enter__(self) -> "Mirror":
        load(self._uri)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._interrupted = kind is not None
        self._ended.set()
        self._thread.join(PATIENCE_S)
        if self._thread.is_alive():
            self.behind = self.behind or f"not finished after {PATIENCE_S:.0f} s"
            self._log(f"WARNING MLflow is behind: {self.behind}")
        if self.behind:
            catch_up = f"python -m fashion_sweep sync {self._run.name}"
            print(f"MLflow ({shown(self._uri)}) is behind: {self.behind}; {catch_up} mends it", file=sys.stderr)

    def _loop(self) -> None:
        pause = self._interval_s
        while not self._ended.is_set():
            self._pass(going=True)
            wanted = pause * 2 if self.behind else self._took / SHARE
            pause = max(self._interval_s, min(wanted, BACK_OFF_S))
            self._ended.wait(pause)
        for _ in range(LAST_TRIES):
            again = self._pass(going=not self._interrupted)
            if not again:
                break
            time.sleep(1 if self.behind else 0)

    def _pass(self, going: bool) -> bool:
        """Makes one pass; returns True where another may bring more."""
        try:
            check_answers(self._uri)
        except RunError as error:
            self._fell_behind(str(error))
            return False
        try:
            self._mirroring = self._mirroring or Mirroring(self._uri, self._run)
            with _alone(self._run):
                began = time.monotonic()
                again = self._mirroring.go(going)
                self._took = time.monotonic() - began
        except Deleted as error:
            self._log(f"WARNING {error}")
            self.behind = None
            return False
        except Exception as error:  # a boundary: results are safe in the run folder, whatever MLflow does
            self._fell_behind(trouble(error, self._uri))
            return not isinstance(error, FashionSweepError)
        if self.behind:
            self._log("INFO MLflow is up to date again")
        self.behind = None
        return again

    def _fell_behind(self, reason: str) -> None:
        self.behind = reason
        self._log(f"WARNING MLflow is behind: {reason}")

    def _log(self, line: str) -> None:
        """Writes a line to the run's log, never twice in a row: a server may be down for days. Ignores a full disk."""
        if line != self._logged:
            with suppress(OSError), self._run.log.open("a", encoding="utf-8") as log:
                log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
        self._logged = line
