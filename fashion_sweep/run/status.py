"""A trial's `status.json`: where it is now, and when each of its stages ran. Everything that writes it is here."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import TypeAdapter, ValidationError

from fashion_sweep.errors import DataError, first_line
from fashion_sweep.run.events import Observer
from fashion_sweep.run.paths import TrialPaths
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import read_json, write_json

logger = logging.getLogger(__name__)

WRITE_EVERY_S = 0.5
PUT_EVERY_S = 10.0
"""Where the runs folder is in object storage, which is paid by the request."""
SHAPES = {
    name: TypeAdapter[Any](shape)
    for shape, names in (
        (str, "state stage evaluation_set error"),
        (int, "step steps images images_total micro_batch_size"),
        (float, "loss started time"),
        (list[str], "notes"),
        (list[tuple[str, float, float | None]], "stages"),
    )
    for name in names.split()
}
"""Of the values that it holds."""
Alive: TypeAlias = Callable[[], None]
"""To be called more often than who works may stand still."""
STAGES = {"load": "loading", "train": "training", "judge": "judging"}
"""Stage → the word for a trial that is in it."""


def read_status(paths: TrialPaths) -> dict[str, Any]:
    """What was last written, as far as it can be read: no fact hangs on it."""
    try:
        known = read_json(paths.status, {})
    except DataError as error:
        return {"notes": [first_line(error)]}
    known = known if isinstance(known, dict) else {}
    return {name: value for name, value in known.items() if _has_its_shape(name, value)}


def _has_its_shape(name: str, value: Any) -> bool:
    try:
        SHAPES[name].validate_json(json.dumps(value), strict=True)
    except (KeyError, ValidationError):
        return False
    return True


def state_of(paths: TrialPaths, known: Mapping[str, Any], going: bool = True) -> str:
    """waiting, starting, running, done, stopped (by a search), failed, or interrupted.

    Args:
        known: what `status.json` says. A result counts for more, whatever a process that was killed has left.
        going: whether a process works on the run; without one, what runs by its own words was interrupted.
    """
    if paths.result.is_file():
        return "done"
    if paths.stopped.is_file():
        return "stopped"
    state = str(known.get("state") or "waiting")
    if state == "done":  # its result was removed, to have it made again
        return "waiting"
    return "interrupted" if not going and state in ("starting", "running") else state


@dataclass
class Status(Observer):
    """Writes down where a trial is, from its events; opens what earlier attempts wrote.

    A stage that an attempt was killed in ended when that was last written.
    """

    paths: TrialPaths
    writes: bool = True
    """False in all of a trial's workers but the first."""
    values: dict[str, Any] = field(default_factory=dict)
    alive: Alive = lambda: None
    """Called at every sign of life, also of workers that do not write."""
    _written: float = 0.0

    def __post_init__(self) -> None:
        known = self.known
        last = known.get("time", 0.0)
        stages = [[name, start, end or max(start, last)] for name, start, end in known.get("stages", [])]
        self.values = {"started": known.get("started"), "stages": stages, "notes": known.get("notes", [])}

    @property
    def known(self) -> dict[str, Any]:
        """What was last written."""
        return read_status(self.paths)

    def update(self, *, now: bool = False, **values: Any) -> None:
        """Writes at most every half second (ten, into object storage), unless `now`."""
        self.values |= values
        self.alive()
        every = PUT_EVERY_S if remote.current() else WRITE_EVERY_S
        if self.writes and (now or time.monotonic() - self._written > every):
            self._written = time.monotonic()
            known = {name: value for name, value in self.values.items() if value is not None}
            write_json(self.paths.status, known | {"time": time.time()})

    def queue(self) -> None:
        """Waits for its turn, whatever an earlier attempt came to."""
        self.update(now=True, state="waiting")

    def start(self) -> None:
        """Its processes are being started."""
        self.update(now=True, state="starting")

    def arrive(self) -> None:
        """Its first worker runs, and loads what it needs."""
        self.update(now=True, state="running", stage=STAGES["load"])

    def step(self, values: Mapping[str, float]) -> None:
        size = int(values["micro_batch_size"])
        self.update(step=int(values["step"]), loss=values["train_loss"], micro_batch_size=size)

    def note(self, text: str) -> None:
        logger.warning(text)
        self.values["notes"].append(text)
        self.update(now=True)

    def fail(self, error: str) -> None:
        self.update(now=True, state="failed", error=error)

    @contextmanager
    def stage(self, name: str, **facts: Any) -> Iterator[None]:
        """Notes of a stage of `STAGES` from when to when it ran, in seconds since the epoch; lets others pass."""
        if name not in STAGES:
            yield
            return
        entry: list[Any] = [name, time.time(), None]
        began = time.monotonic()  # a clock that is set meanwhile makes no stage longer or shorter
        self.values["stages"].append(entry)
        self.values["started"] = self.values["started"] or entry[1]
        self.update(now=True, state="running", stage=STAGES[name], **facts)
        yield
        entry[2] = entry[1] + time.monotonic() - began
        self.update(now=True)
        if self.writes:
            logger.info("%s took %.1f s", STAGES[name], entry[2] - entry[1])

    @property
    def seconds(self) -> dict[str, float]:
        """By stage, over all attempts."""
        ended = [(name, end - start) for name, start, end in self.values["stages"] if end]
        return {name: sum(spent for stage, spent in ended if stage == name) for name in STAGES}
