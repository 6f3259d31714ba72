"""The wall-clock time of a run, by what it was spent on."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

WORK = ("train", "judge")
Stage = tuple[str, float, float]
"""A stage's name, its start and its end in seconds since the epoch."""


@dataclass
class Clock:
    """Times the stages of one invocation; what no stage claims was spent starting up and waiting."""

    started: float = field(default_factory=time.time)
    prepared: float = 0.0
    _began: float = field(default_factory=time.monotonic)

    @contextmanager
    def preparing(self) -> Iterator[None]:
        since = time.monotonic()
        yield
        self.prepared += time.monotonic() - since

    def breakdown(self, stages: Iterable[Stage]) -> dict[str, float]:
        """Returns the seconds by stage, which add up to `total`; `stages` are those of all trials."""
        total = time.monotonic() - self._began
        by_stage = {"prepare": self.prepared, **wall_clock_by_stage(stages, self.started)}
        return by_stage | {"start-up and waiting": max(0.0, total - sum(by_stage.values())), "total": total}


def wall_clock_by_stage(stages: Iterable[Stage], started: float) -> Mapping[str, float]:
    """Returns the seconds since `started` by stage.
    Each moment is shared equally among the trials that train or judge then."""
    busy = [(name, max(start, started), end) for name, start, end in stages if name in WORK]
    moments = sorted({moment for _, start, end in busy for moment in (start, end)})
    shares: dict[str, float] = dict.fromkeys(WORK, 0.0)
    for since, until in pairwise(moments):
        active = [name for name, start, end in busy if start <= since and end >= until]
        for name in active:
            shares[name] += (until - since) / len(active)
    return shares
