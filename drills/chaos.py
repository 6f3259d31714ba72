"""Breaks a tiny sweep in every way we know, for real, and compares what it ends with to an undisturbed run.

    python -m drills.chaos                      all of it: about an hour on two cores
    python -m drills.chaos --only driver clock  scenarios whose name has one of these in it
    python -m drills.chaos --seed 3 --root DIR --output table.md

A scenario is one sweep of two trials in which one fault after the other is injected. Exit code 1 if anything was lost,
trained otherwise, made again though it was finished, or did not end as it should.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from drills import surroundings
from drills.ledger import Finished
from drills.moments import Moment
from drills.sweep_run import SweepRun, differences, wait_until


@dataclass(frozen=True)
class Fault:
    """One injection."""

    when: str
    """For the table."""
    what: str
    moment: Moment
    strike: Callable[[SweepRun, list[Any]], None]
    targets: Callable[[SweepRun], list[Any]] = lambda run: []
    """Processes that `strike` gets."""
    ready: Moment | None = None
    """When to look for the targets already; else at the moment itself."""
    spoils: bool = False
    """Whether it damages what is finished, so that this has to be made again."""
    ends_run: bool = False
    """Whether the run's own process is to end by it; the user then has to do `repair`, and `resume`."""
    repair: tuple[str, Callable[[SweepRun], None]] | None = None


@dataclass(frozen=True)
class Scenario:
    name: str
    faults: tuple[Fault, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    changes_result: bool = False
    """Whether its settings do; then it is compared with an undisturbed run that has them too."""
    surroundings: Callable[[Path], AbstractContextManager[Mapping[str, str]]] = lambda root: nullcontext({})
    """What the run needs around it; gives variables of its environment."""
    prefix: tuple[str, ...] = ()
    own_cache: bool = False
    """Whether its cache is to be empty at the start."""
    exit_code: int = 0
    afterwards: Callable[[SweepRun], str | None] = lambda run: None
    """What is wrong besides, if anything."""


@dataclass
class Outcome:
    scenario: str
    fault: Fault
    injected: bool
    finished: Finished | None = None
    """Right after it was injected."""
    user: str = "nothing"
    result: str = ""


def play(scenario: Scenario, root: Path, undisturbed: SweepRun) -> list[Outcome]:
    """Runs it; what was found wrong is in the outcomes."""
    home = root / scenario.name if scenario.own_cache else root
    home.mkdir(parents=True, exist_ok=True)
    with scenario.surroundings(home) as environment:
        run = SweepRun(home, scenario.name, scenario.settings, environment, scenario.prefix)
        run.start()
        try:
            outcomes = [_inject(scenario.name, fault, run) for fault in scenario.faults]
            code = run.finish()
            wrong = [*differences(run, undisturbed), *filter(None, [scenario.afterwards(run)])]
            wrong += [again for one in outcomes if one.finished for again in one.finished.made_again(run)]
            if code != scenario.exit_code:
                wrong.append(f"exit code {code} ({run.last_line()})")
        except Exception as error:
            outcomes, wrong = [Outcome(scenario.name, fault, False) for fault in scenario.faults], [repr(error)]
        finally:
            run.end()
    for outcome in outcomes:
        outcome.result = "identical" if not wrong else "; ".join(wrong)
    return outcomes


def _inject(scenario: str, fault: Fault, run: SweepRun) -> Outcome:
    targets = fault.targets(run) if fault.ready and wait_until(partial(fault.ready, run), run) else []
    if not wait_until(partial(fault.moment, run), run, every_s=0 if targets else 0.002):
        return Outcome(scenario, fault, injected=False)
    fault.strike(run, targets or fault.targets(run))
    outcome = Outcome(scenario, fault, injected=True, finished=None if fault.spoils else Finished.now(run))
    if fault.ends_run:
        if run.finish() == 0:
            return outcome  # it may come to an end in spite of all
        outcome.user = f"`resume` (the run said: {run.last_line()[:90]})" if run.process.returncode > 0 else "`resume`"
        if fault.repair:
            words, repair = fault.repair
            repair(run)
            outcome.user = f"{words}, {outcome.user}"
        run.resume()
    return outcome


def table(outcomes: list[Outcome]) -> str:
    lines = ["| # | scenario | when | what | injected | the user had to do | adapters and metrics |", "|---" * 7 + "|"]
    for number, outcome in enumerate(outcomes, 1):
        fault, injected = outcome.fault, "yes" if outcome.injected else "MISSED"
        cells = (outcome.scenario, fault.when, fault.what, injected, outcome.user, outcome.result)
        lines.append("| " + " | ".join([str(number), *cells]) + " |")
    return "\n".join(lines) + "\n"


def _undisturbed(root: Path, name: str, settings: Mapping[str, Any]) -> SweepRun:
    run = SweepRun(root, name, settings)
    started = time.monotonic()
    run.start()
    if code := run.finish():
        sys.exit(f"the run {name} ended with {code}: {run.last_line()}")
    print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
    return run


def _played(scenarios: list[Scenario], root: Path, output: Path | None) -> Iterator[list[Outcome]]:
    plain = cache(partial(_undisturbed, root, "undisturbed", {}))
    done: list[Outcome] = []
    for scenario in scenarios:
        own = scenario.changes_result
        compared = _undisturbed(root, f"undisturbed-{scenario.name}", scenario.settings) if own else plain()
        started = time.monotonic()
        outcomes = play(scenario, root, compared)
        done += outcomes
        missed = sum(not one.injected for one in outcomes)
        said = outcomes[0].result + (f", {missed} of {len(outcomes)} faults MISSED" if missed else "")
        print(f"{scenario.name}: {time.monotonic() - started:.0f} s, {said}", flush=True)
        if output:
            output.write_text(table(done))
        yield outcomes


def main() -> None:
    from drills.scenarios import scenarios

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of which process is struck where there are several")
    parser.add_argument("--only", nargs="*", default=[""], help="parts of the names of scenarios")
    parser.add_argument("--root", type=Path, help="where the runs are kept; default: a temporary folder, removed")
    parser.add_argument("--output", type=Path, help="Markdown file for the table")
    chosen = parser.parse_args()
    root = chosen.root or Path(tempfile.mkdtemp(prefix="chaos-"))
    root.mkdir(parents=True, exist_ok=True)
    wanted = [one for one in scenarios(random.Random(chosen.seed)) if any(part in one.name for part in chosen.only)]
    outcomes = [outcome for part in _played(wanted, root, chosen.output) for outcome in part]
    print(table(outcomes))
    bad = [one for one in outcomes if not one.injected or one.result != "identical"]
    print(f"{len(outcomes)} injections with seed {chosen.seed}, {len(outcomes) - len(bad)} of them without any trace")
    print(surroundings.machine())
    if chosen.root is None:
        shutil.rmtree(root, ignore_errors=True)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
