"""The training loop: reads top to bottom, receives what it calls, and knows neither Ray nor MLflow."""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fashion_sweep.config import TrainingConfig
from fashion_sweep.errors import TrialError
from fashion_sweep.models.family import Conditions, Family, TextEmbeds
from fashion_sweep.training.batches import Batch, TrainingSet

Report = Callable[[dict[str, float]], None]
VALIDATION_BATCH_SIZE = 16


@dataclass(frozen=True)
class Share:
    """What one worker does of each global batch: slots rank, rank + workers, … in micro-batches of equal size."""

    rank: int
    workers: int
    batch_size: int
    micro_batch_size: int

    @property
    def micro_batches(self) -> list[list[int]]:
        slots = list(range(self.rank, self.batch_size, self.workers))
        return [slots[i : i + self.micro_batch_size] for i in range(0, len(slots), self.micro_batch_size)]


@dataclass(frozen=True)
class Trainer:
    """One trial's training on one worker. Everything is on the accelerator's device but `data`."""

    model: Family
    denoiser: nn.Module
    parameters: Mapping[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    data: TrainingSet
    config: TrainingConfig
    steps: int
    share: Share
    accelerator: Any
    """accelerate's: precision, accumulation, averaging over the workers."""
    recent: deque[float]
    """Losses of the last `validation_every` steps."""

    def train(self, start: int, report: Report, progress: Report, save: Callable[[int], None]) -> None:
        """Trains the adapter in place from step `start` on.

        `report` is called every `validation_every` steps, `progress` at each, `save` with the number of steps done;
        `train_loss` is the mean of the last `validation_every` steps.

        Raises:
            TrialError: the loss is not finite; raised before the optimizer takes the step.
        """
        since, since_step = time.monotonic(), start
        if start == 0:
            report({"step": 0, "val_loss": self.validation_loss()})
        for step in range(start, self.steps):
            self.recent.append(self._step(step))
            done, train_loss = step + 1, sum(self.recent) / len(self.recent)
            progress({"step": done, "train_loss": train_loss})
            if done % self.config.validation_every == 0 or done == self.steps:
                report(
                    {
                        "step": done,
                        "train_loss": train_loss,
                        "val_loss": self.validation_loss(),
                        "learning_rate": self.learning_rate(step),
                        "seconds_per_step": (time.monotonic() - since) / (done - since_step),
                    }
                )
                since, since_step = time.monotonic(), done
            if done % self.config.checkpoint_every == 0 and done < self.steps:
                save(done)

    def learning_rate(self, step: int) -> float:
        """At 0-based `step`: constant, or half a cosine from the peak to zero, without warm-up."""
        peak = self.config.learning_rate
        return peak if self.config.schedule == "constant" else peak * (1 + math.cos(math.pi * step / self.steps)) / 2

    def _step(self, step: int) -> float:
        """One optimizer step; returns the mean loss of the global batch."""
        losses = []
        for slots in self.share.micro_batches:
            batch = self.data.training_batch(step, self.share.batch_size, slots)
            with self.accelerator.accumulate(self.denoiser):
                loss = self._losses(self.denoiser, batch).mean()
                losses.append(loss.detach())
                self.accelerator.backward(loss)
        mean = self.accelerator.gather(torch.stack(losses)).mean().item()
        if not math.isfinite(mean):
            names = self.data.training_batch(step, self.share.batch_size, range(self.share.batch_size)).names
            raise TrialError(f"loss={mean} at step {step}, samples {', '.join(names)}")
        self.accelerator.clip_grad_norm_(list(self.parameters.values()), self.config.max_grad_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return mean

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Mean over the held-out images at their fixed noise and timesteps; the workers share the batches."""
        count = len(self.data.validation_rows)
        losses = torch.zeros(count, device=self.accelerator.device)
        denoiser = self.accelerator.unwrap_model(self.denoiser)
        for start in range(0, count, VALIDATION_BATCH_SIZE)[self.share.rank :: self.share.workers]:
            indices = range(start, min(start + VALIDATION_BATCH_SIZE, count))
            batch = self.data.validation_batch(indices)  # not under autocast, which takes no float16 on a CPU
            with self.accelerator.autocast():
                losses[start : indices.stop] = self._losses(denoiser, batch)
        return self.accelerator.reduce(losses, "sum").mean().item()

    def _losses(self, denoiser: nn.Module, batch: Batch) -> Tensor:
        """Mean squared error of the prediction, one value a sample: N float32."""
        device = self.accelerator.device
        latents, noise, timesteps = (t.to(device) for t in (batch.latents, batch.noise, batch.timesteps))
        noisy = self.model.add_noise(latents, noise, timesteps)
        predicted = denoiser(noisy, timesteps, _to_device(batch.conditions, device))
        target = self.model.training_target(latents, noise, timesteps)
        return functional.mse_loss(predicted.float(), target, reduction="none").mean(dim=(1, 2, 3))


def _to_device(conditions: Conditions, device: torch.device) -> Conditions:
    text = conditions.text
    return Conditions(
        time_ids=conditions.time_ids.to(device),
        text=text and TextEmbeds(text.prompt_embeds.to(device), text.pooled.to(device)),
        input_ids=None if conditions.input_ids is None else conditions.input_ids.to(device),
    )
