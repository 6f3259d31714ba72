"""The end of a run on one screen: the answer, the numbers behind it, where the time went, what to do next."""

import io
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest

import rich.table
from rich.console import Console

from fashion_sweep.config.loading import load_run_config
from fashion_sweep.errors import FashionSweepError, shown
from fashion_sweep.planning.plan import resolved
from fashion_sweep.report.configurations import below_zero, configurations
from fashion_sweep.report.console import Terminal
from fashion_sweep.report.results import Results, collect
from fashion_sweep.report.run_answer import answer_of
from fashion_sweep.report.sections import with_interval
from fashion_sweep.report.tables import Table, count, duration, terminal
from fashion_sweep.report.verdict import Verdict, Verdicts, read_verdicts
from fashion_sweep.report.words import GAP
from fashion_sweep.run.paths import RunPaths, near
from fashion_sweep.storage.files import read_what_may_be_lost

LINES, WIDTH, MOST_ROWS = 25, 80, 8
"""The lines and columns of a screen, and the rows of a table on it; fewer where that does not fit."""
PROMPT = "A woman in a red dress."
LONGEST = 53
"""The most characters of a command that fit behind `next: python -m fashion_sweep` in 80 columns."""


def show_summary(run: RunPaths, console: Console) -> None:
    """Prints how a sweep ended, as `show_end` has it."""
    results, verdicts = collect(run), read_verdicts(run)
    judge = results.config.sweep.judge

    def tables(most: int) -> list[Table]:
        return [_numbers(results, name, verdicts.get(name), most) for name in judge if results.evaluations_on(name)]

    commands = [_next(run, results, verdicts), "ui"]
    show_end(run, results, answer_of(results, verdicts).headline, tables, commands, console)


def show_end(
    run: RunPaths,
    results: Results,
    headline: str,
    tables: Callable[[int], Sequence[Table]],
    commands: Sequence[str],
    console: Console,
) -> None:
    """Prints the end of a run, with as many rows as leave it 25 lines of 80 columns.

    Args:
        run: the run folder.
        results: what it says.
        headline: the verdict in a sentence.
        tables: the numbers behind it, in at most so many rows each.
        commands: what to do next, as words after `python -m fashion_sweep`.
        console: where to print.
    """

    def show(to: Console, most: int, whole: bool = False) -> None:
        to.print(shown(headline), style="bold", markup=False, highlight=False)
        to.print()
        few = tables(most)
        for table, after in zip_longest(few, few[1:]):
            to.print(_narrow(table, whole))
            if after is None or table.caption != after.caption:  # of several that rest on the same, once
                to.print(shown(table.caption), style="dim italic", markup=False, highlight=False)
        for line in [*_unfinished(run, results), *_time(results), *_registered(run)]:
            to.print(line, markup=False)
        to.print(f"report: {near(run.page)}", soft_wrap=True, markup=False)
        for command in commands:
            to.print(f"next: python -m fashion_sweep {_broken(command)}", soft_wrap=True, markup=False)

    tries = [partial(show, most=MOST_ROWS, whole=True), *(partial(show, most=most) for most in range(MOST_ROWS, 0, -1))]
    next((one for one in tries if _height(one) <= LINES), tries[-1])(console)


def _height(show: Callable[[Console], None]) -> int:
    """Counts the lines on a terminal of `WIDTH` columns."""
    out = io.StringIO()
    show(Terminal(file=out, width=WIDTH))
    return sum(max(1, -(-len(line.rstrip()) // WIDTH)) for line in out.getvalue().splitlines())


def _narrow(table: Table, whole: bool) -> rich.table.Table:
    """Makes a table in which names that are too long are cut, numbers never; the report has them whole.

    Names that could no longer be told apart take several lines; so do those of several parts, where `whole`.
    """
    numbers = [(column, *(row[at] for row in table.rows)) for at, column in enumerate(table.columns) if at]
    room = WIDTH - sum(2 + max(map(len, cells)) for cells in numbers)
    names = [name if whole and "," in name else _cut(name, room) for name, *_ in table.rows]
    if len(set(names)) < len(names):
        names = [name for name, *_ in table.rows]
    rows = tuple((name, *rest) for name, (_, *rest) in zip(names, table.rows, strict=True))
    made = terminal(replace(table, rows=rows, caption=""))
    made.show_edge = False
    return made


def _cut(name: str, room: int) -> str:
    """Cuts a name in its middle: what tells configurations apart often stands last."""
    head = (room - 1) // 2
    return name if len(name) <= room else f"{name[:head]}…{name[len(name) - (room - 1 - head) :]}"


def _registered(run: RunPaths) -> list[str]:
    registered = read_what_may_be_lost(run.mirror).get("registered")
    return [f"registered: {registered}"] if registered else []


def _broken(command: str) -> str:
    """Breaks a command that is long, which goes on in a second line as a shell takes it."""
    before, option, last = command.rpartition(" --")
    return f"{before} \\\n      {option.strip()}{last}" if len(command) > LONGEST and option else command


def _numbers(results: Results, name: str, verdict: Verdict | None, most: int) -> Table:
    """Makes the table of what the verdict goes by; as computed where there is no verdict.
    Where there are many configurations, it has the best in the first metric."""
    metrics, judged = results.deciding(name), results.evaluations_on(name)[0]
    shown = configurations(results, name, verdict)
    ranking = sorted(shown, key=lambda one: (verdict is None or one.title != verdict.best, one.rank(metrics[0])))
    rows = tuple(
        (
            one.title,
            count(one.parameters),
            *([count(one.images)] if verdict else []),
            *(with_interval(metric, one.value(metric)) for metric in metrics),
        )
        for one in shown
        if one in ranking[:most]
    )
    parts = [
        f"{one.title}∞: {one.title} less its bias, {judged.source(one)}"
        if verdict and one.is_biased
        else f"{one.title} {judged.source(one)}"
        for one in metrics
    ]
    caption = f"{'; '.join(parts)}." if verdict else f"{judged.samples or GAP} images each; {'; '.join(parts)}."
    caption += f" {len(shown) - most} more rows in the report." if len(shown) > most else ""
    caption += " Below 0: see the report." if verdict and below_zero(shown, metrics) else ""
    first = name.capitalize() if len(results.config.sweep.judge) > 1 else "configuration"
    headings = [one.heading(less_bias=verdict is not None, narrow=True) + " (95 %)" * bool(verdict) for one in metrics]
    return Table("", (first, "parameters", *(["images"] if verdict else []), *headings), rows, caption)


def _unfinished(run: RunPaths, results: Results) -> list[str]:
    """Says how many trials lack, and how to see why."""
    counts = {state: sum(trial.state == state for trial in results.trials) for state in ("failed", "unfinished")}
    lacking = [f"{count} of {len(results.trials)} trials {state}" for state, count in counts.items() if count]
    return (
        [f"{', '.join(lacking)}: python -m fashion_sweep status {shlex.quote(run.name)} tells why"] if lacking else []
    )


def _time(results: Results) -> list[str]:
    """Says where the time went, in a line."""
    seconds = dict(results.seconds)
    if not (total := seconds.pop("total", 0.0)):
        return []
    return [f"time: {duration(total)}, of it " + ", ".join(f"{stage} {s / total:.0%}" for stage, s in seconds.items())]


def _next(run: RunPaths, results: Results, verdicts: Verdicts) -> str:
    """Returns the next command: what would decide an undecided run, if known; else pictures by its best adapter."""
    if any(one.end is None for one in verdicts.values()):
        return f"resume {shlex.quote(run.name)}"
    of_all_images = [one for one in verdicts.values() if one.end == "all images"]
    undecided = [one for one in of_all_images if one.chosen is None and one.images_needed]
    if undecided and (again := _again(run, results, undecided)):
        return again
    best = next((one.best_trial for one in verdicts.values()), None)
    if best is None or not run.trial(best).adapter.is_file():
        return f"status {shlex.quote(run.name)}"
    return f'generate --adapter {shlex.quote(near(run.trial(best).root))} --prompt "{PROMPT}"'


def _again(run: RunPaths, results: Results, undecided: Sequence[Verdict]) -> str | None:
    """Returns the sweep judged on enough images; None where its call is not known."""
    config = results.config
    samples = max(one.images_needed or 0 for one in undecided)
    try:
        same = resolved(load_run_config(config.sweep.name, config.preset.name)) == config
    except FashionSweepError:
        return None
    again = f"run {config.sweep.name} --preset {config.preset.name} --adapters-from {shlex.quote(run.name)}"
    return f"{again} --set evaluation.samples={samples}" if same else None
