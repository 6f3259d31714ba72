"""Counts how often a trial is begun, in its folder, so that it is known whichever of its processes died."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired  # of typing itself, pydantic takes none before Python 3.12

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from fashion_sweep.run.paths import TrialPaths
from fashion_sweep.run.status import Status
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import read_what_may_be_lost, write_json

UNLUCKY = 20
"""The failures in a row, not counted and without progress, after which it is no longer bad luck."""
DIED = "the trial's own process died"


def queue(paths: TrialPaths) -> None:
    """Has the trial wait for its turn; failures in earlier calls of the program no longer count."""
    Attempts(paths).renew()
    Status(paths).queue()


def clear_away(paths: TrialPaths) -> None:
    """Removes what nobody needs once a trial is over."""
    for folder in (paths.checkpoints, paths.judged_batches):
        remote.remove_folder(folder)


class Failure(TypedDict):
    """A failure, which ended an attempt."""

    time: float
    """The time of the failure, in seconds since the epoch."""
    error: str
    """The error, in one line."""
    reached: list[int]
    """Numbers that grow with what another attempt would not have to do again."""
    counts: bool
    final: bool
    past: NotRequired[bool]
    """Whether the failure was before the trial was queued anew."""


FAILURES = TypeAdapter(list[Failure])


@dataclass
class Attempts:
    """The attempts at one trial.

    The trial is begun again after a failure as long as it gets further, or has failed at most so many times since it
    last did. Failures that are nobody's fault, such as a lost node, do not count, and those that would come again, such
    as a loss that is not finite, end it at once.
    """

    paths: TrialPaths

    def __post_init__(self) -> None:
        stored = read_what_may_be_lost(self.paths.attempts)
        self.failures: list[Failure]
        try:
            self.failures = FAILURES.validate_python(stored.get("failures", []))
        except ValidationError:
            self.failures = []
        self.going = stored.get("going") is True

    def renew(self) -> None:
        is_recorded = self.going or self.failures
        for failure in self.failures:
            failure["past"] = True
        self.going = False
        if is_recorded:
            self._write()

    def begin(self, limit: int) -> bool:
        """Notes that an attempt begins; returns False if the trial has to be given up instead.

        It has then failed more than `limit` times without getting further. What became of an attempt that never ended
        is noted first.
        """
        if self.going:
            self.fail(DIED, counts=False)
        if self._is_given_up(limit):
            return False
        self.going = True
        self._write()
        return True

    def fail(self, error: str, *, counts: bool = True, final: bool = False) -> None:
        self.going = False
        reached = self._reached()
        self.failures.append(
            {"time": time.time(), "error": error, "reached": reached, "counts": counts, "final": final}
        )
        self._write()

    def succeed(self) -> None:
        self.going = False
        self._write()

    @property
    def last_error(self) -> str | None:
        return self.failures[-1]["error"] if self.failures else None

    def _is_given_up(self, limit: int) -> bool:
        furthest: list[int] = []
        in_vain: list[bool] = []
        for failure in self.failures:
            if failure.get("past"):
                continue
            if failure["final"]:
                return True
            if failure["reached"] > furthest:
                furthest, in_vain = failure["reached"], []
            in_vain.append(failure["counts"])
        return sum(in_vain) > limit or len(in_vain) > limit + UNLUCKY

    def _reached(self) -> list[int]:
        adapter = remote.names(self.paths.adapter.parent)
        names = [Path(name).stem for name in remote.names(self.paths.checkpoints)]
        steps = [int(name) for name in names if name.isdecimal()]
        return [
            int(self.paths.adapter.name in adapter),
            max(steps, default=0),
            len(remote.names(self.paths.judged_batches)),
        ]

    def _write(self) -> None:
        write_json(self.paths.attempts, {"going": self.going, "failures": self.failures})
