"""A lane as each of its workers knows it: what it works for, and the other workers."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from fashion_sweep.config.preset import Resources
from fashion_sweep.run.paths import RunPaths

T = TypeVar("T")
PATIENCE_S = 24 * 3600
"""For which a worker waits for the others, who may be judging thousands of images; one that dies is known at once."""
IDLE_S = 30.0
"""For which a lane waits for work before it gives back what it holds."""


@dataclass(frozen=True)
class Lane:
    """What each worker of a lane is started with."""

    name: str
    run: RunPaths
    resources: Resources
    desk: Any
    """Handle of the actor."""
    imports: str | None = None
    """The module that its workers import before there is anything to do."""


@dataclass(frozen=True)
class Group:
    """This worker among those of its lane."""

    rank: int
    size: int

    def prepare(self) -> None:
        """Gives the workers patience with each other, and torch the GPU of this one."""
        import torch
        from ray.train.torch import get_device

        if self.size > 1:
            torch.distributed.set_timeout(timedelta(seconds=PATIENCE_S), torch.distributed.group.WORLD)
        if torch.cuda.is_available():
            torch.cuda.set_device(get_device())

    def agreed(self, find: Callable[[], T]) -> T:
        """What rank 0 finds, on every rank."""
        found: list[Any] = [find() if self.rank == 0 else None]
        if self.size > 1:
            from torch import distributed

            distributed.broadcast_object_list(found, src=0)
        return found[0]

    def meet(self) -> None:
        """Waits for the others."""
        if self.size > 1:
            from torch import distributed

            distributed.barrier()
