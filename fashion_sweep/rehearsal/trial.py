"""Rehearses a trial as `run` does it, killed on the way, gone on with, and judged; its events go to a meter."""

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fashion_sweep.cluster.worker import Worker
from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.errors import TrialError
from fashion_sweep.metrics.evaluate import evaluate, real_statistics
from fashion_sweep.metrics.metric import Estimate, Metric, RealImages
from fashion_sweep.rehearsal.meter import Meter, Planned, Work
from fashion_sweep.rehearsal.timings import Timings
from fashion_sweep.run.events import Observer
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.tasks.trial_worker import TrialWorker

KILLED = {"load": Work.LOAD_BASE, "train": Work.TRAIN}
RESUMED = {"load": Work.LOAD_BASE, "train": Work.RESUME}
JUDGED = {"load": Work.LOAD_PIPELINES, "judge": Work.JUDGE, "generate": Work.GENERATE, "features": Work.FEATURES}
"""The stages of the rehearsal for those of a trial, in each of its parts: killed, resumed, judged."""


@dataclass
class Attempt(Observer):
    """Reports the trial's stages to the meter under the names of what is rehearsed; kills the first training."""

    meter: Meter
    steps: int
    """The number of steps that the trial makes in all."""
    stages: Mapping[str, Work] = field(default_factory=dict)
    losses: dict[int, float] = field(default_factory=dict)
    """The mean loss after each step."""

    @contextmanager
    def stage(self, name: str, **facts: Any) -> Iterator[None]:
        if name not in self.stages:
            yield
            return
        with self.meter.stage(self.stages[name], facts.get("images") or 1):
            yield

    def step(self, values: Mapping[str, float]) -> None:
        step = int(values["step"])
        self.losses[step] = values["train_loss"]
        if step == self.steps and self.stages is KILLED:
            raise Planned


@dataclass(frozen=True)
class StandInStatistics:
    """Computes the metrics of as many stand-in features as the real run has images, once, for their time and memory.

    Two images have no FID; so that the rehearsal shows no number that could be taken for one, nothing is returned.
    """

    meter: Meter
    images: int

    def __call__(
        self,
        metrics: Sequence[Metric],
        kept: Mapping[str, np.ndarray],
        real: RealImages,
        evaluation: EvaluationConfig,
        groups: np.ndarray,
    ) -> dict[str, Estimate]:
        if all(stage.name != Work.STATISTICS for stage in self.meter.stages):
            with self.meter.stage(Work.STATISTICS):
                drawn, features = self._stand_ins(kept, seed=0), self._stand_ins(real.features, seed=1)
                statistics = real_statistics(metrics, features, evaluation)
                evaluate(metrics, drawn, RealImages(features, statistics), evaluation, np.arange(self.images))
        return {}

    def _stand_ins(self, kept: Mapping[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
        draw = np.random.default_rng(seed)
        return {name: draw.standard_normal((self.images, *rows.shape[1:]), "f4") for name, rows in kept.items()}


def rehearse_trial(run: RunPaths, trial_id: str, device: str, meter: Meter, timings: Timings, judged: int) -> None:
    """Trains until shortly before the end, is killed, goes on from its checkpoint, and is judged.

    Args:
        run: the rehearsal's folder.
        trial_id: of the trial in it.
        device: for instance `cpu`.
        meter: is told of the stages.
        timings: is told of all events.
        judged: images that the real run judges at most.

    Raises:
        StageFailed: names the stage.
    """
    timings.trial_id = trial_id
    trial = TrialWorker.open(
        run,
        trial_id,
        Worker(0, 1, device, lambda: None, lambda values: None),
        evaluate=StandInStatistics(meter, judged),
        draws_preview=False,  # at full size one takes an hour without a GPU
    )
    attempt = Attempt(meter, trial.steps)
    trial = trial.watched_by(attempt, timings)
    if not trial.spec.is_base_model:
        attempt.stages = KILLED
        with suppress(Planned):
            trial.train()
        gc.collect()  # what the killed attempt held
        before, attempt.losses, attempt.stages = attempt.losses, {}, RESUMED
        trial.train()
        with meter.stage(Work.COMPARE):
            _compare(before, attempt.losses, trial.config.preset.training.checkpoint_every)
    attempt.stages = JUDGED
    evaluations = trial.task.judge(trial)
    gc.collect()
    with meter.stage(Work.COUNT):
        trial.finish(evaluations)


def _compare(before: Mapping[int, float], after: Mapping[int, float], checkpoint_every: int) -> None:
    """Checks that training went on from its checkpoint to the same loss.

    Raises:
        TrialError: training did not go on from the checkpoint, or not to the same loss.
    """
    first, last = min(after), max(after)
    if first != checkpoint_every + 1:
        raise TrialError(f"it went on with step {first}, not from the checkpoint of step {checkpoint_every}")
    if abs(after[last] - before[last]) > 0.01 * abs(before[last]):
        raise TrialError(f"loss {after[last]:.6g} at step {last} after going on, {before[last]:.6g} before")
