"""The progress of a run while none of its trials runs: on the terminal, and in its folder for `status`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fashion_sweep.errors import DataError
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import read_json, write_json


def clock_time() -> str:
    """Returns the time of day, for a line of a log that somebody reads the next morning."""
    return f"{datetime.now():%H:%M:%S}"


@contextmanager
def busy(run: RunPaths, console: Console, text: str) -> Iterator[None]:
    """Shows a spinner until the work is done; off a terminal, a line."""
    _say(console, text)
    with _told(run, text), console.status(text):
        yield


@contextmanager
def progress(run: RunPaths, console: Console, text: str, total: int) -> Iterator[Callable[[int], None]]:
    """Shows a bar until the work is done; off a terminal, a line. Yields what to call with how much is done."""
    _say(console, text)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        _told(run, text, total=total),
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
    ):
        task = bar.add_task(text, total=total)

        def advance(done: int) -> None:
            bar.update(task, completed=done)
            write_json(run.doing, {"text": text, "total": total, "done": done})

        yield advance


def doing(run: RunPaths) -> str | None:
    """Says in words what the run is doing; None where it is nothing of this kind."""
    try:
        values: dict[str, Any] = read_json(run.doing, {})
    except DataError:
        return None
    if not values:
        return None
    return (
        f"{values['text']}, {values.get('done', 0)} of {values['total']}" if "total" in values else str(values["text"])
    )


def _say(console: Console, text: str) -> None:
    if not console.is_terminal:
        console.print(f"{clock_time()} {text} …")


@contextmanager
def _told(run: RunPaths, text: str, **values: Any) -> Iterator[None]:
    write_json(run.doing, {"text": text, **values})
    try:
        yield
    finally:
        remote.remove(run.doing)
