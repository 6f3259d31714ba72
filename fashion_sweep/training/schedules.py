"""Courses of the learning rate, by their names in presets: `doors.SCHEDULES`. Imports no torch before one is made."""

from collections.abc import Callable
from typing import TypeAlias

Course: TypeAlias = Callable[[int], float]
"""The learning rate as a share of its peak, by the 0-based step."""
Schedule: TypeAlias = Callable[[int, int], Course]
"""Makes a course from the steps of its warm-up and of all training."""


def _of_diffusers(name: str, **shape: float) -> Schedule:
    """Returns the schedule that diffusers' `get_scheduler` has under this name; `shape`: what else it takes."""

    def course(warmup_steps: int, steps: int) -> Course:
        import torch
        from diffusers.optimization import get_scheduler

        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)  # which a scheduler needs to be made
        scheduler = get_scheduler(name, optimizer, num_warmup_steps=warmup_steps, num_training_steps=steps, **shape)
        made: Course = scheduler.lr_lambdas[0]
        return made

    return course


COSINE = _of_diffusers("cosine")
CONSTANT = _of_diffusers("constant_with_warmup")
LINEAR = _of_diffusers("linear")
COSINE_WITH_RESTARTS = _of_diffusers("cosine_with_restarts", num_cycles=3)
"""Falls to 0 and begins again twice."""
POLYNOMIAL = _of_diffusers("polynomial", power=2.0)
"""Falls with the square of the steps that are left; with their first power it would be `linear`."""
