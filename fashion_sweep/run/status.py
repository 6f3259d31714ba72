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
"""Seconds between two writes where the runs folder is in object storage, which is paid by the request."""
SHAPES = {
    name: TypeAdapter[Any](shape)
    for shape, names in (
        (str, "state stage evaluation_set error"),
        (int, "step steps images images_total micro_batch_size"),
        (float, "loss started time"),
        (bool, "further"),
        (list[str], "notes"),
        (list[tuple[str, float, float | None]], "stages"),
    )
    for name in names.split()
}
"""The types of the values that `status.json` holds, by their names."""
Alive: TypeAlias = Callable[[], None]
"""A callback that is to be called more often than a worker may stand still."""
STAGES = {"load": "loading", "train": "training", "judge": "judging"}
"""The word for a trial that is in a stage, by stage."""


def read_status(paths: TrialPaths) -> dict[str, Any]:
    """Returns what was last written, as far as it can be read: no fact hangs on it."""
    try:
        values = read_json(paths.status, {})
    except DataError as error:
        return {"notes": [first_line(error)]}
    values = values if isinstance(values, dict) else {}
    return {name: value for name, value in values.items() if _has_its_shape(name, value)}


def _has_its_shape(name: str, value: Any) -> bool:
    try:
        SHAPES[name].validate_json(json.dumps(value), strict=True)
    except (KeyError, ValidationError):
        return False
    return True


def state_of(paths: TrialPaths, known: Mapping[str, Any], going: bool = True) -> str:
    """Returns a trial's state.

    It is waiting, starting, running, trained, done, stopped (by a search), failed, or interrupted.

    Args:
        known: what `status.json` says. A result counts for more, whatever a process that was killed has left.
        going: whether a process works on the run; without one, what runs by its own words was interrupted.
    """
    state = str(known.get("state") or "waiting")
    if paths.result.is_file():
        return state if going and known.get("further") and state in ("starting", "running") else "done"
    if paths.stopped.is_file():
        return "stopped"
    if state == "done":  # its result was removed, to have it made again
        return "waiting"
    return "interrupted" if not going and state in ("starting", "running", "trained") else state


@dataclass
class Status(Observer):
    """Writes down where a trial is, from its events; opens what earlier attempts wrote.

    A stage that an attempt was killed in ended when that was last written.
    """

    paths: TrialPaths
    writes: bool = True
    """Whether `status.json` is written; False in all of a trial's workers but the first."""
    values: dict[str, Any] = field(default_factory=dict)
    further: bool = False
    """Whether it is about a further look at a trial that is done."""
    alive: Alive = lambda: None
    """The callback for every sign of life, also of workers that do not write."""
    _written: float = 0.0

    def __post_init__(self) -> None:
        earlier = self.known
        last = earlier.get("time", 0.0)
        stages = [[name, start, end or max(start, last)] for name, start, end in earlier.get("stages", [])]
        self.values = {"started": earlier.get("started"), "stages": stages, "notes": earlier.get("notes", [])}
        self.values |= {"further": True} if self.further else {}

    @property
    def known(self) -> dict[str, Any]:
        """The values that were last written."""
        return read_status(self.paths)

    def update(self, *, now: bool = False, **values: Any) -> None:
        """Updates values; writes them at most every half second (ten, into object storage), unless `now`."""
        self.values |= values
        self.alive()
        every = PUT_EVERY_S if remote.current() else WRITE_EVERY_S
        if self.writes and (now or time.monotonic() - self._written > every):
            self._written = time.monotonic()
            present = {name: value for name, value in self.values.items() if value is not None}
            write_json(self.paths.status, present | {"time": time.time()})

    def queue(self) -> None:
        """Notes that the trial waits for its turn, whatever an earlier attempt came to."""
        self.update(now=True, state="waiting")

    def make_way(self) -> None:
        """Notes that the trial is trained, and judged once no other waits to be trained."""
        self.update(now=True, state="trained")

    def start(self) -> None:
        """Notes that the trial's processes are being started."""
        self.update(now=True, state="starting")

    def arrive(self) -> None:
        """Notes that the trial's first worker runs, and loads what it needs."""
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
        """Notes from when to when a stage of `STAGES` ran, in seconds since the epoch; lets others pass."""
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
        """The seconds of each stage, over all attempts."""
        ended = [(name, end - start) for name, start, end in self.values["stages"] if end]
        return {name: sum(spent for stage, spent in ended if stage == name) for name in STAGES}
