"""The contents of a trial's status file, as far as they are to be shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fashion_sweep.errors import DataError
from fashion_sweep.report.results import number
from fashion_sweep.report.words import GAP
from fashion_sweep.run.paths import TrialPaths
from fashion_sweep.run.status import STAGES
from fashion_sweep.storage.files import read_json

LINES_PER_STAGE = 4
"""The number of parts of a stage: off a terminal, each of them but the last is reported when it is done."""


@dataclass(frozen=True)
class Shown:
    """The contents of a trial's status file; None is unknown."""

    state: str = "waiting"
    stage: str | None = None
    done: float | None = None
    total: float | None = None
    unit: str = "steps"
    loss: float | None = None
    stages: tuple[tuple[float, float | None], ...] = ()
    """The start and the end of each stage, in seconds since 1970."""
    time: float | None = None
    error: str | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Shown":
        judging = values.get("stage") == STAGES["judge"]
        error = values.get("error")
        return cls(
            state=values["state"],
            stage=values.get("stage") and str(values["stage"]),
            done=number(values.get("images" if judging else "step")),
            total=number(values.get("images_total" if judging else "steps")),
            unit="images" if judging else "steps",
            loss=number(values.get("loss")),
            stages=_spans(values.get("stages")),
            time=number(values.get("time")),
            error=str(error).strip() if error else None,
        )

    def worked(self, now: float | None) -> float | None:
        """Returns the seconds of work, without those between attempts; `now` is the end of a stage that has none."""
        spent = [end - start for start, stop in self.stages if (end := now if stop is None else stop) is not None]
        return sum(spent) if spent else None


def _spans(stages: Any) -> tuple[tuple[float, float | None], ...]:
    try:
        spans = [(number(start), number(end)) for _, start, end in stages or []]
    except (TypeError, ValueError):
        return ()
    return tuple((start, end) for start, end in spans if start is not None)


def reached(paths: TrialPaths) -> dict[str, Any]:
    """Returns where a search stopped the trial; its workers may have gone on for a moment."""
    try:
        values = read_json(paths.stopped, {})
    except (OSError, DataError):
        return {}
    return {"done": number(values.get("step")), "loss": number(values.get("val_loss")), "unit": "steps"}


def milestone(status: Shown) -> tuple[str, ...]:
    """Returns what is worth a line when it changes; of a running trial, the part of a stage that it has come to."""
    if status.state == "failed":
        return (status.state, str(status.error))
    loading = status.stage == STAGES["load"]
    if status.state != "running" or loading or status.done is None or not status.total:
        return (status.state,)
    part = min(int(LINES_PER_STAGE * status.done / status.total), LINES_PER_STAGE - 1)
    return (status.state, str(status.stage), str(part)) if part else (status.state,)


def counts(status: Shown) -> str:
    if status.done is None or status.total is None:
        return GAP
    return f"{status.done:.0f}/{status.total:.0f} {status.unit}"
