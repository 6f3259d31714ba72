"""The training loop, which reads top to bottom, receives what it calls, and knows neither Ray nor MLflow."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

from fashion_sweep.adapters.attaching import TrainedParameters
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.doors import SCHEDULES
from fashion_sweep.errors import TrialError
from fashion_sweep.models.memory import as_much_as_fits, is_out_of_memory, release_memory
from fashion_sweep.models.model import Model
from fashion_sweep.training.averaging import Average
from fashion_sweep.training.batches import TrainingBatch, TrainingSet
from fashion_sweep.training.gradients import Gradients, sum_over_workers
from fashion_sweep.training.schedules import Course, Schedule

logger = logging.getLogger(__name__)

Report = Callable[[dict[str, float]], None]
VALIDATION_BATCH_SIZE = 16


@dataclass(frozen=True)
class Share:
    """One worker's part of each global batch: every `workers`-th of its micro-batches, from number `rank` on.

    A micro-batch holds neighbouring slots, the same ones however many workers there are, so that its gradient is too.
    """

    rank: int
    workers: int
    batch_size: int
    micro_batch_size: int

    @property
    def micro_batches(self) -> list[list[int]]:
        starts = range(0, self.batch_size, self.micro_batch_size)[self.rank :: self.workers]
        return [list(range(start, min(start + self.micro_batch_size, self.batch_size))) for start in starts]


@dataclass
class Trainer:
    """One trial's training on one worker. Everything is on the accelerator's device but `data`."""

    model: Model
    parameters: TrainedParameters
    optimizer: torch.optim.Optimizer
    data: TrainingSet
    config: TrainingConfig
    steps: int
    share: Share
    """The worker's share of each batch; its micro-batches are halved when memory does not suffice."""
    accelerator: Any
    """The `Accelerator`, for device and precision; the loop itself joins the workers, so that all can repeat a step."""
    recent: deque[float]
    """The losses of the last `validation_every` steps."""
    average: Average | None = None
    """The average of the parameters that is validated in their place."""

    def train(self, start: int, report: Report, progress: Report, save: Callable[[int], None]) -> None:
        """Trains the adapter in place from step `start` on.

        `report` is called every `validation_every` steps, `progress` at each, `save` with the number of steps done;
        `train_loss` is the mean of the last `validation_every` steps.

        Raises:
            TrialError: the loss is not finite, raised before the optimizer takes the step; or memory does not suffice
                for one sample.
        """
        gradients = Gradients(list(self.parameters.values()))
        since, since_step = time.monotonic(), start
        if start == 0:
            report({"step": 0, "val_loss": self._finite_validation_loss(0)})
        for step in range(start, self.steps):
            self.recent.append(self._step(step, gradients))
            done, train_loss = step + 1, sum(self.recent) / len(self.recent)
            micro_batch_size = self.share.micro_batch_size
            progress({"step": done, "train_loss": train_loss, "micro_batch_size": micro_batch_size})
            if done % self.config.validation_every == 0 or done == self.steps:
                report(
                    {
                        "step": done,
                        "train_loss": train_loss,
                        "val_loss": self._finite_validation_loss(done),
                        "learning_rate": self.learning_rate(step),
                        "micro_batch_size": micro_batch_size,
                        "seconds_per_step": (time.monotonic() - since) / (done - since_step),
                    }
                )
                since, since_step = time.monotonic(), done
            if done % self.config.checkpoint_every == 0 and done < self.steps:
                save(done)

    def _finite_validation_loss(self, step: int) -> float:
        with self.average.in_place() if self.average else nullcontext():
            loss = self.validation_loss()
        if not math.isfinite(loss):
            raise TrialError(f"val_loss={loss} at step {step}")
        return loss

    def learning_rate(self, step: int) -> float:
        """Returns the rate at 0-based `step`, by the schedule of its name, after its warm-up."""
        return self.config.learning_rate * self._course(step)

    @cached_property
    def _course(self) -> Course:
        schedule: Schedule = SCHEDULES[self.config.schedule]
        return schedule(self.config.warmup_steps, self.steps)

    def _step(self, step: int, gradients: Gradients) -> float:
        """Takes one optimizer step, and returns the mean loss of the global batch."""
        losses = self._backward(step, gradients)
        while losses is None:
            release_memory()
            self._halve(step)
            losses = self._backward(step, gradients)
        mean = losses.mean().item()
        if not math.isfinite(mean):
            names = self.data.training_batch(step, self.share.batch_size, range(self.share.batch_size)).names
            bad = [name for name, loss in zip(names, losses.tolist(), strict=True) if not math.isfinite(loss)]
            raise TrialError(f"loss={mean} at step {step}, by {len(bad)} of {len(names)} samples: {', '.join(bad)}")
        gradients.give(self.share.workers)
        nn.utils.clip_grad_norm_(list(self.parameters.values()), self.config.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step) * group["rate"]
        self.optimizer.step()
        if self.average:
            self.average.step()
        return mean

    def _backward(self, step: int, gradients: Gradients) -> Tensor | None:
        """Computes each sample's loss of the global batch and this worker's gradients; None if any worker lacks memory.

        Workers meet only after this, whether or not their own part went well: none waits for one that gave up.
        """
        size = self.share.batch_size
        shared = torch.zeros(size + 1, dtype=torch.float64, device=self.accelerator.device)
        gradients.clear()
        try:
            for slots in self.share.micro_batches:
                batch = self.data.training_batch(step, size, slots)
                assert batch.draws is not None
                self.parameters.draw_dropout(batch.draws.to(self.accelerator.device))
                with self.accelerator.autocast():
                    losses = self.model.loss(batch) * self._weights(batch)
                (losses.sum() / size).backward()
                gradients.take()
                shared[slots] = losses.detach().double()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            shared[size] = 1
        sum_over_workers(shared, self.share.workers)
        return None if shared[size] else shared[:size]

    def _weights(self, batch: TrainingBatch) -> Tensor:
        """Returns the weight of each sample's loss."""
        weights = batch.weights.to(self.accelerator.device)
        gamma = self.config.snr_gamma
        return weights if gamma is None else weights * self.model.min_snr_weights(batch.timesteps, gamma)

    def _halve(self, step: int) -> None:
        size = self.share.micro_batch_size
        if size == 1:
            raise TrialError(f"out of memory at step {step} with one sample at a time; {self._remedy()}")
        self.share = replace(self.share, micro_batch_size=size // 2)
        logger.warning(
            "out of memory at step %d with %d samples at a time; from here on with %d, which changes nothing but "
            "rounding (training.micro_batch_size=%d saves the attempt)",
            *(step, size, size // 2, size // 2),
        )

    def _remedy(self) -> str:
        if not self.config.gradient_checkpointing:
            return "set training.gradient_checkpointing=true"
        return "set a smaller training.image, model.dtype=bfloat16 where it is float32, or use a larger device"

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Returns the mean loss of held-out images at their fixed noise and timesteps; workers share the batches."""
        count = len(self.data.validation_rows)
        losses = torch.zeros(count, device=self.accelerator.device)

        def fill(start: int, size: int) -> None:
            """Fills in the losses of one batch, in parts of `size` samples."""
            end = min(start + VALIDATION_BATCH_SIZE, count)
            for first in range(start, end, size):
                indices = range(first, min(first + size, end))
                batch = self.data.validation_batch(indices)  # not under autocast, which takes no float16 on a CPU
                with self.accelerator.autocast():
                    losses[first : indices.stop] = self.model.loss(batch)

        self.parameters.draw_dropout(None)
        size = VALIDATION_BATCH_SIZE
        for start in range(0, count, VALIDATION_BATCH_SIZE)[self.share.rank :: self.share.workers]:
            size = as_much_as_fits(partial(fill, start), size, _say_validating)
        sum_over_workers(losses, self.share.workers)
        return losses.mean().item()


def _say_validating(size: int) -> None:
    logger.warning("out of memory in validation; now with %d samples at a time", size)
