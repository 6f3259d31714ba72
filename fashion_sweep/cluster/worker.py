"""Describes to a training function the process that it runs in."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from fashion_sweep.cluster.lane import Group
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.status import Alive


class Withdrawn(BaseException):
    """Tune waits for a trial no longer: it is left at the step at which it is. No failure, so no Exception."""


def alone(name: str, count: int) -> Iterator[tuple[int, int]]:
    """Gives all chunks of shared work to the caller; each with how many were finished before."""
    yield from ((number, number) for number in range(count))


@dataclass(frozen=True)
class Worker:
    """One of the `world_size` processes of a trial; `torch.distributed` is initialised where it runs."""

    rank: int
    world_size: int
    device: str
    """The torch device of the process, for instance `cpu` or `cuda:0`."""
    alive: Alive
    report: Callable[[dict[str, float]], None]
    """Takes the values of a step, `step` among them. A barrier: every rank calls it equally often; rank 0's
    values count."""

    check: Callable[[], None] = lambda: None
    """Raises Withdrawn where the trial is to be left; to be called by every rank equally often."""
    makes_way: Callable[[], bool] = lambda: False
    """Returns whether the trial, now trained, is left here and taken up later, since others wait to be trained; to be
    called by every rank."""
    shared: Callable[[str, int], Iterator[tuple[int, int]]] = alone
    """Given a name and a number of chunks, yields those that this worker and its peers are to do, each with how many
    were finished before. Other lanes may help: it ends once all are finished, or for a helper once none is left."""
    looks: Mapping[str, int] = field(default_factory=dict)
    """By evaluation set, how many images a trial that was judged before is judged on; empty for one that was not."""
    helps: str | None = None
    """The name of the shared work of the trial that is all there is to do here; None: all of the trial."""
    stays: bool = False
    """Whether the process goes on to other trials."""

    def agreed(self, find: Callable[[], int]) -> int:
        """Returns what rank 0 finds, on every rank. All must go on in the same way, whatever a lagging file system
        shows them. To be called by all."""
        return Group(self.rank, self.world_size).agreed(find)


TrainFn: TypeAlias = Callable[[RunPaths, str, Worker], None]
"""The type of a function that trains and judges one trial; each worker finds it by its dotted name."""
