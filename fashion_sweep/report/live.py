"""Shows the trials of a running sweep from their status files: a live table, or plain lines where nobody watches."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType

import rich.box
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fashion_sweep.judging.standing import RaceStanding, read_standings
from fashion_sweep.report.console import Terminal
from fashion_sweep.report.progress import clock_time
from fashion_sweep.report.result_words import result_words
from fashion_sweep.report.status_text import Shown, counts, milestone, reached
from fashion_sweep.report.tables import duration
from fashion_sweep.report.words import GAP
from fashion_sweep.run.paths import RunPaths, near
from fashion_sweep.run.retries import Attempts
from fashion_sweep.run.status import read_status, state_of

GOES_ON = {("running", "running"), ("trained", "starting"), ("trained", "running")}
"""Changes of a trial's state that are no news: it has begun already."""
REFRESH_S = 0.5
WIDTH_FOR_BARS = 100
"""The columns of a terminal below which the table goes without bars."""
WIDTH_FOR_RACES = 130
"""The columns below which it goes without how trials stand in a race."""
LINES_AROUND = 8
"""The lines of a terminal that are not the table's rows."""
URGENCY = ("running", "starting", "failed", "interrupted", "trained", "waiting", "stopped", "done")
COLOURS = {
    "waiting": "dim",
    "starting": "dim",
    "running": "cyan",
    "trained": "cyan",
    "done": "green",
    "stopped": "yellow",
    "interrupted": "yellow",
    "failed": "red",
}


class LiveTable:
    """A context manager that shows the trials of a run in a table which refreshes itself.

    Off a terminal it prints a line for each change of a trial's state and for each quarter of its stages.

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
        self._out: set[tuple[str, str]] = set()
        self._told = set[tuple[str, float]]()
        """The failures that were printed, by trial and time."""
        self._has_pictures = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="live-table", daemon=True)
        self._live = Live(get_renderable=self._fitting, console=self._console, refresh_per_second=1 / REFRESH_S)

    def __enter__(self) -> "LiveTable":
        if self._console.is_terminal:
            self._live.start(refresh=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._console.is_terminal:
            self._live.stop()
        else:
            self._print_changes()  # what happened since the last look

    def _poll(self) -> None:
        while not self._stop.wait(REFRESH_S):
            self._print_first_pictures()
            self._print_failures()
            if not self._console.is_terminal:
                self._print_changes()

    def _print_first_pictures(self) -> None:
        """Prints where the first pictures lie, once, as soon as any trial has drawn."""
        if self._has_pictures:
            return
        for trial_id, title in self._titles.items():
            if (preview := self._run.trial(trial_id).preview).is_file():
                self._has_pictures = True
                line = f"{clock_time()} first pictures, by {title} while it trains: {near(preview)}"
                self._console.print(line, soft_wrap=True, markup=False, highlight=False)
                return

    def _print_failures(self) -> None:
        """Prints what ended an attempt at a trial that may go on; of one that has failed its state tells."""
        for trial_id, title in self._titles.items():
            for failure in Attempts(self._run.trial(trial_id)).failures:
                key = trial_id, failure["time"]
                if failure.get("past") or failure["final"] or key in self._told:
                    continue
                self._told.add(key)
                line = f"{clock_time()} {title}: an attempt ended: {failure['error']}"
                self._console.print(line, soft_wrap=True, markup=False, highlight=False)

    @property
    def _titles(self) -> dict[str, str]:
        return self._known_titles | dict(self._titles_now())

    def _fitting(self) -> Table:
        """Makes a table that fits the terminal.
        Where there are more trials than lines, those at work come first, then what is next; the others are counted."""
        states = {trial_id: self._status(trial_id).state for trial_id in self._titles}
        room = max(self._console.height - LINES_AROUND, 1)
        if len(states) <= room:
            return self.table()
        urgent = sorted(states, key=lambda trial_id: URGENCY.index(states[trial_id]))[:room]
        table = self.table([trial_id for trial_id in states if trial_id in urgent])
        hidden = Counter(state for trial_id, state in states.items() if trial_id not in urgent)
        others = "and " + ", ".join(f"{count} {state}" for state, count in hidden.items())
        table.caption = f"{others}\n{table.caption}" if table.caption else others
        return table

    def table(self, shown: Sequence[str] | None = None) -> Table:
        """Makes the table of the trials `shown`, or of all, as they are now."""
        now = time.time()
        table = Table(box=rich.box.SIMPLE_HEAD)
        with_bar = self._console.width >= WIDTH_FOR_BARS
        table.add_column("trial")
        for column in ("state", *(["progress"] if with_bar else []), ""):
            table.add_column(column, no_wrap=True)
        for column in ("loss", "elapsed", "stage left"):
            table.add_column(column, justify="right", no_wrap=True)
        wide = self._console.width >= WIDTH_FOR_RACES
        titles, standings = self._titles, read_standings(self._run)
        races = standings if wide else {}
        if races:
            table.add_column("race", no_wrap=True)
        elif standings:
            table.caption = "\n".join(_in_short(name, by_title) for name, by_title in standings.items())
        for trial_id in titles if shown is None else shown:
            title, status = titles[trial_id], self._status(trial_id)
            stage = status.stage if status.state == "running" and status.stage else status.state
            colour = COLOURS.get(status.state, "")
            running = status.state == "running"
            table.add_row(
                Text(title),
                Text(stage, style=colour),
                *([_bar(status)] if with_bar else []),
                counts(status),
                GAP if status.loss is None else f"{status.loss:.4f}",
                duration(status.worked(now if running else status.time)),
                duration(self._stage_left(trial_id, status)) if running else "",
                *([_in_races(races, title)] if races else []),
            )
        return table

    def _status(self, trial_id: str) -> Shown:
        """Reads the status file, if it can be read; a result beside it means done, whatever a killed process left."""
        paths = self._run.trial(trial_id)
        values = read_status(paths)
        status = Shown.of(values | {"state": state_of(paths, values, self._going)})
        return replace(status, **reached(paths)) if status.state == "stopped" else status

    def _stage_left(self, trial_id: str, status: Shown) -> float | None:
        """Estimates the seconds left of this stage at the pace since we first saw it; None until it has moved."""
        if status.done is None or status.total is None or status.time is None:
            return None
        stage, began, first = self._stage_began.get(trial_id, (None, 0.0, 0.0))
        if stage != status.stage or status.done < first:
            self._stage_began[trial_id] = (status.stage, status.time, status.done)
            return None
        moved, took = status.done - first, status.time - began
        return (status.total - status.done) * took / moved if moved > 0 and took > 0 else None

    def _print_changes(self) -> None:
        self._print_standings()
        for trial_id, title in self._titles.items():
            status = self._status(trial_id)
            seen, before = milestone(status), self._shown.get(trial_id, ("waiting",))
            if seen == before or (before[0], *seen) in GOES_ON:
                continue
            self._shown[trial_id] = seen
            line = f"{clock_time()} {title}: {self._change(trial_id, status)}"
            self._console.print(line, soft_wrap=True, markup=False, highlight=False)

    def _print_standings(self) -> None:
        """Prints who is out of a race as soon as that is so; who is chosen, others that come later may change."""
        for name, by_title in read_standings(self._run).items():
            for title, one in by_title.items():
                if one.state == "out" and (name, title) not in self._out:
                    self._out.add((name, title))
                    line = f"{clock_time()} {title} is out after {one.images:,} images of {name}: {one.why}"
                    self._console.print(line, soft_wrap=True, markup=False, highlight=False)

    def _change(self, trial_id: str, status: Shown) -> str:
        if status.state == "failed":
            return f"failed: {(status.error or 'unknown error').splitlines()[-1]}"
        if status.state == "stopped":
            return f"stopped at step {status.done or 0:.0f}" + (f", loss {status.loss:.4f}" if status.loss else "")
        if status.state == "done":
            words = result_words(self._run, trial_id)
            return ", ".join(["judged" if len(words) > 1 else "done", *words])
        if milestone(status) == ("running",):
            return self._in_the_race(trial_id) if self._run.trial(trial_id).result.is_file() else "started"
        if status.state != "running":
            return status.state
        loss = "" if status.loss is None or status.unit == "images" else f", loss {status.loss:.4f}"
        return f"{status.stage} {counts(status)}{loss}"

    def _in_the_race(self, trial_id: str) -> str:
        """Says that a trial which was judged goes on, and why."""
        standings = [
            one for by_title in read_standings(self._run).values() if (one := _of(by_title, self._titles[trial_id]))
        ]
        whys = [one.why for one in standings if one.state == "goes on"]
        return ": ".join(["goes on in the race", *(["; ".join(whys)] if whys else [])])


def _of(by_title: Mapping[str, RaceStanding], title: str) -> RaceStanding | None:
    """Returns how the configuration of a trial stands."""
    return by_title.get(title) or by_title.get(title.partition(", seed +")[0])


def _in_short(name: str, by_title: Mapping[str, RaceStanding]) -> str:
    """Says in a line how a race stands, where the table has no room for it."""
    first = [f"{title} is {one.state}" for title, one in by_title.items() if one.state in ("ahead", "chosen")]
    others = Counter(one.state for one in by_title.values() if one.state not in ("ahead", "chosen"))
    return f"race on {name}: {', '.join([*first, *(f'{count} {state}' for state, count in others.items())])}"


def _in_races(races: Mapping[str, Mapping[str, RaceStanding]], title: str) -> str:
    """Says how a trial's configuration stands in each race: images, state, and the distance from its rival."""
    found = [_of(by_title, title) for by_title in races.values()]
    return "; ".join(f"{one.images:,} {one.state}{one.distance}" for one in found if one)


def _bar(status: Shown) -> ProgressBar | str:
    if status.done is None or not status.total:
        return ""
    return ProgressBar(total=status.total, completed=status.total if status.state == "done" else status.done, width=20)
