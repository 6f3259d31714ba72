"""Shows the trials of a running sweep from their status files: a live table, or plain lines where nobody watches."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import rich.box
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fashion_sweep.errors import DataError
from fashion_sweep.files import read_json
from fashion_sweep.paths import RunPaths, TrialPaths
from fashion_sweep.report.console import Terminal
from fashion_sweep.report.progress import clock_time
from fashion_sweep.report.results import number
from fashion_sweep.report.tables import GAP, duration
from fashion_sweep.status import STAGES, read_status, state_of

REFRESH_S = 0.5
WIDTH_FOR_BARS = 100
"""Columns of a terminal below which the table goes without bars."""
LINES_PER_STAGE = 4
"""Off a terminal, a stage is reported each time so many parts of it are done, but for the last."""
COLOURS = {
    "waiting": "dim",
    "starting": "dim",
    "running": "cyan",
    "done": "green",
    "stopped": "yellow",
    "interrupted": "yellow",
    "failed": "red",
}


@dataclass(frozen=True)
class Shown:
    """What a trial's status file says; None is unknown."""

    state: str = "waiting"
    stage: str | None = None
    done: float | None = None
    total: float | None = None
    unit: str = "steps"
    loss: float | None = None
    stages: tuple[tuple[float, float | None], ...] = ()
    """From when to when, in seconds since 1970."""
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
        """Seconds, without those between attempts; `now` is the end of a stage that has none yet."""
        spent = [end - start for start, known in self.stages if (end := now if known is None else known) is not None]
        return sum(spent) if spent else None


def _spans(stages: Any) -> tuple[tuple[float, float | None], ...]:
    try:
        spans = [(number(start), number(end)) for _, start, end in stages or []]
    except (TypeError, ValueError):
        return ()
    return tuple((start, end) for start, end in spans if start is not None)


class LiveTable:
    """Context manager: a table that refreshes itself; off a terminal, a line for each change of a trial's state and
    for each quarter of its stages.

    Args:
        run: the run folder; only its status and result files are read.
        trial_ids: in the order to show them.
        titles: by trial id; default the ids.
        titles_now: asked at each look, for the trials that a search has begun meanwhile.
        going: whether a process works on the run; else what it left running is shown as interrupted.
        console: where to show it; default stdout.
    """

    def __init__(
        self,
        run: RunPaths,
        trial_ids: Sequence[str],
        titles: dict[str, str] | None = None,
        console: Console | None = None,
        titles_now: Callable[[], Mapping[str, str]] | None = None,
        going: bool = True,
    ) -> None:
        self._run = run
        self._going = going
        self._titles_now = titles_now or dict
        self._known_titles = {trial_id: (titles or {}).get(trial_id, trial_id) for trial_id in trial_ids}
        self._console = console or Terminal()
        self._shown: dict[str, tuple[str, ...]] = {}
        self._stage_began: dict[str, tuple[str | None, float, float]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="live-table", daemon=True)
        self._live = Live(get_renderable=self.table, console=self._console, refresh_per_second=1 / REFRESH_S)

    def __enter__(self) -> "LiveTable":
        if self._console.is_terminal:
            self._live.start(refresh=True)
        else:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()
            return
        self._stop.set()
        self._thread.join()
        self._print_changes()  # what happened since the last look

    def _poll(self) -> None:
        while not self._stop.wait(REFRESH_S):
            self._print_changes()

    @property
    def _titles(self) -> dict[str, str]:
        return self._known_titles | dict(self._titles_now())

    def table(self) -> Table:
        """The state of all trials as it is now."""
        now = time.time()
        table = Table(box=rich.box.SIMPLE_HEAD)
        with_bar = self._console.width >= WIDTH_FOR_BARS
        table.add_column("trial")
        for column in ("state", *(["progress"] if with_bar else []), ""):
            table.add_column(column, no_wrap=True)
        for column in ("loss", "elapsed", "stage left"):
            table.add_column(column, justify="right", no_wrap=True)
        for trial_id, title in self._titles.items():
            status = self._status(trial_id)
            stage = status.stage if status.state == "running" and status.stage else status.state
            colour = COLOURS.get(status.state, "")
            running = status.state == "running"
            table.add_row(
                Text(title),
                Text(stage, style=colour),
                *([_bar(status)] if with_bar else []),
                _counts(status),
                GAP if status.loss is None else f"{status.loss:.4f}",
                duration(status.worked(now if running else status.time)),
                duration(self._stage_left(trial_id, status)) if running else "",
            )
        return table

    def _status(self, trial_id: str) -> Shown:
        """The status file as far as it can be read; a result beside it means done, whatever a killed process left."""
        paths = self._run.trial(trial_id)
        known = read_status(paths)
        status = Shown.of(known | {"state": state_of(paths, known, self._going)})
        return replace(status, **_reached(paths)) if status.state == "stopped" else status

    def _stage_left(self, trial_id: str, status: Shown) -> float | None:
        """Seconds to the end of this stage at the pace seen since we first saw it; None until it has moved."""
        if status.done is None or status.total is None or status.time is None:
            return None
        stage, began, first = self._stage_began.get(trial_id, (None, 0.0, 0.0))
        if stage != status.stage or status.done < first:
            self._stage_began[trial_id] = (status.stage, status.time, status.done)
            return None
        moved, took = status.done - first, status.time - began
        return (status.total - status.done) * took / moved if moved > 0 and took > 0 else None

    def _print_changes(self) -> None:
        for trial_id, title in self._titles.items():
            status = self._status(trial_id)
            seen, before = _milestone(status), self._shown.get(trial_id, ("waiting",))
            if seen == before or (seen == ("running",) == before[:1]):
                continue
            self._shown[trial_id] = seen
            line = f"{clock_time()} {title}: {self._change(trial_id, status)}"
            self._console.print(line, soft_wrap=True, markup=False, highlight=False)

    def _change(self, trial_id: str, status: Shown) -> str:
        if status.state == "failed":
            return f"failed: {(status.error or 'unknown error').splitlines()[-1]}"
        if status.state == "stopped":
            return f"stopped at step {status.done or 0:.0f}" + (f", loss {status.loss:.4f}" if status.loss else "")
        if status.state == "done":
            return ", ".join(["done", *self._numbers(trial_id)])
        if _milestone(status) == ("running",):
            return "started"
        if status.state != "running":
            return status.state
        loss = "" if status.loss is None or status.unit == "images" else f", loss {status.loss:.4f}"
        return f"{status.stage} {_counts(status)}{loss}"

    def _numbers(self, trial_id: str) -> list[str]:
        """Those of the finished trial that are known."""
        try:
            result = read_json(self._run.trial(trial_id).result, {})
            sets = result.get("evaluations") or {}
            seconds = [value for value in map(number, (result.get("seconds") or {}).values()) if value is not None]
        except (OSError, DataError, AttributeError):
            return []
        shown = [
            f"{name}{f' on {judged_on}' if len(sets) > 1 else ''} {value:.2f}"
            for judged_on, judged in sets.items()
            for key, name in (("fid", "FID"), ("clip_score", "CLIP score"))
            if (value := number(judged.get(key))) is not None
        ]
        return [*shown, duration(sum(seconds))] if seconds else shown


def _reached(paths: TrialPaths) -> dict[str, Any]:
    """Where a search stopped the trial; its workers may have gone on for a moment."""
    try:
        values = read_json(paths.stopped, {})
    except (OSError, DataError):
        return {}
    return {"done": number(values.get("step")), "loss": number(values.get("val_loss")), "unit": "steps"}


def _milestone(status: Shown) -> tuple[str, ...]:
    """What is worth a line when it changes; of a running trial, the part of a stage that it has come to."""
    if status.state == "failed":
        return (status.state, str(status.error))
    loading = status.stage == STAGES["load"]
    if status.state != "running" or loading or status.done is None or not status.total:
        return (status.state,)
    part = min(int(LINES_PER_STAGE * status.done / status.total), LINES_PER_STAGE - 1)
    return (status.state, str(status.stage), str(part)) if part else (status.state,)


def _bar(status: Shown) -> ProgressBar | str:
    if status.done is None or not status.total:
        return ""
    return ProgressBar(total=status.total, completed=status.total if status.state == "done" else status.done, width=20)


def _counts(status: Shown) -> str:
    if status.done is None or status.total is None:
        return GAP
    return f"{status.done:.0f}/{status.total:.0f} {status.unit}"
