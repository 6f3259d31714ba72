"""A trial as `run` does it, watched: its stages go to a meter, and its parts are timed by hooks from outside."""

import gc
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.errors import TrialError
from fashion_sweep.generation.generator import Generator
from fashion_sweep.metrics.extractors import Judge, Scores
from fashion_sweep.models.model import Model
from fashion_sweep.rehearsal.meter import Meter, Planned, Work
from fashion_sweep.run.status import Status
from fashion_sweep.tasks.catalogue.trial import Trial

TRAIN = {"load": Work.LOAD_BASE, "train": Work.TRAIN}
RESUME = {"load": Work.LOAD_BASE, "train": Work.RESUME}
JUDGE = {"load": Work.LOAD_PIPELINES, "judge": Work.JUDGE}


@dataclass
class Timings:
    """Seconds of the parts of all trials."""

    calls: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    """By part of the model and evaluation set, of each call while its images are made: for one sample of the call,
    of which guidance makes two an image."""
    steps: dict[str, list[float]] = field(default_factory=dict)
    """By trial: of each optimizer step."""
    weights: dict[str, int] = field(default_factory=dict)
    """Bytes of base, refiner and judge."""
    judging: str | None = None
    """The evaluation set that is being judged."""

    @contextmanager
    def watching(self, model: Model) -> Iterator[None]:
        """Times the calls of the model's parts while the block runs, if it makes images that are judged: those of the
        sample grid are fewer at once."""
        hooks: list[Any] = []
        if self.judging:
            for part, module in model.parts.items():
                hooks += self._hooks((part, self.judging), module, model.device)
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hooks(self, key: tuple[str, str], module: nn.Module, device: torch.device) -> list[Any]:
        started: list[float] = []

        def now() -> float:
            if device.type == "cuda":
                torch.cuda.synchronize()
            return time.monotonic()

        def before(*_: Any) -> None:
            started.append(now())

        def after(_: nn.Module, given: tuple[Tensor, ...], made: Any) -> None:
            self.calls.setdefault(key, []).append((now() - started.pop()) / len(given[0]))

        return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]

    def seconds(self, part: str, evaluation_set: str) -> float:
        """Of a typical call, for one sample."""
        return median(self.calls[part, evaluation_set])


@dataclass(kw_only=True)
class WatchedStatus(Status):
    """Tells the meter of the trial's stages, under the names of what is rehearsed."""

    meter: Meter
    names: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, **values: Any) -> Iterator[None]:
        with self.meter.stage(self.names[name]), super().stage(name, **values):
            yield


@dataclass(kw_only=True)
class WatchedGenerator(Generator):
    meter: Meter
    timings: Timings

    def images(self, prompts: Sequence[str], draws: Sequence[tuple[int, int]], batch_size: int) -> Tensor:
        with self.meter.stage(Work.GENERATE), self.timings.watching(self.model):
            return super().images(prompts, draws, batch_size)


class WatchedJudge(Judge):
    def __init__(self, config: EvaluationConfig, device: str | torch.device, meter: Meter) -> None:
        super().__init__(config, device)
        self.meter = meter

    def scores(self, images: Tensor, captions: Sequence[str]) -> Scores:
        with self.meter.stage(Work.FEATURES, len(images)):
            return super().scores(images, captions)


@dataclass(frozen=True)
class RehearsedTrial(Trial):
    meter: Meter
    timings: Timings
    judged: int
    """Images that the real run judges at most."""
    losses: dict[int, float] = field(default_factory=dict)
    """Mean loss after each step, of the attempt that is going on."""
    moments: list[float] = field(default_factory=list)

    def rehearse(self) -> None:
        """Trains until shortly before the end, is killed, goes on from its checkpoint, and is judged."""
        if not self.spec.is_base_model:
            before = self._killed()
            self._go_on(before)
        self.watched.names = JUDGE
        evaluations = self.judge()
        gc.collect()
        with self.meter.stage(Work.COUNT):
            self.finish(evaluations)

    @property
    def watched(self) -> WatchedStatus:
        assert isinstance(self.status, WatchedStatus)
        return self.status

    def _killed(self) -> dict[int, float]:
        self.watched.names = TRAIN
        try:
            self.train()
        except Planned:
            gc.collect()  # what the killed attempt held
        losses = dict(self.losses)
        self.losses.clear()
        self.moments.clear()
        return losses

    def _go_on(self, before: Mapping[int, float]) -> None:
        """Raises:
        TrialError: it did not go on from the checkpoint, or not to the same loss.
        """
        self.watched.names = RESUME
        self.train()
        first, last = min(self.losses), max(self.losses)
        every = self.config.preset.training.checkpoint_every
        with self.meter.stage(Work.COMPARE):
            if first != every + 1:
                raise TrialError(f"it went on with step {first}, not from the checkpoint of step {every}")
            if abs(self.losses[last] - before[last]) > 0.01 * abs(before[last]):
                raise TrialError(
                    f"loss {self.losses[last]:.6g} at step {last} after going on, {before[last]:.6g} before"
                )

    def _report_and_draw(self, model: Model, values: dict[str, float]) -> None:
        self._report(values)  # a preview at full size takes an hour without a GPU

    def _report(self, values: dict[str, float]) -> None:
        super()._report(values)
        self.moments.append(time.monotonic())

    def _progress(self, values: dict[str, float]) -> None:
        super()._progress(values)
        step, now = int(values["step"]), time.monotonic()
        if self.moments:
            self.timings.steps.setdefault(self.spec.trial_id, []).append(now - self.moments[-1])
        self.moments.append(now)
        self.losses[step] = values["train_loss"]
        if step == self.steps and self.watched.names is TRAIN:
            raise Planned

    def generator(self, model: Model, name: str) -> Generator:
        self.timings.weights |= model.weight_bytes
        return WatchedGenerator(**vars(super().generator(model, name)), meter=self.meter, timings=self.timings)

    def _judge_set(self, name: str, model: Model, judge: Judge) -> dict[str, Any] | None:
        self.timings.judging = name
        judged = super()._judge_set(name, model, judge)
        self.timings.judging = None
        return judged

    def load_judge(self) -> Judge:
        judge = WatchedJudge(self.config.preset.evaluation, self.worker.device, self.meter)
        networks = {id(used): used.model for used in (judge.clip, judge.extractor)}.values()
        self.timings.weights["judge"] = sum(map(bytes_of, networks))
        return judge

    def evaluate(self, scores: Scores, reference: Tensor) -> dict[str, Any]:
        """Statistics over as many stand-in features as the run has images, for their time and memory: two images
        have no FID, so that the rehearsal shows no number that could be taken for one."""
        if any(stage.name == Work.STATISTICS for stage in self.meter.stages):
            return {}
        with self.meter.stage(Work.STATISTICS):
            draw = np.random.default_rng(0)
            rows, dimension = self.judged, scores.features.shape[1]
            features, real = (torch.from_numpy(draw.standard_normal((rows, dimension), "f4")) for _ in range(2))
            super().evaluate(Scores(features, torch.zeros(rows)), real)
        return {}


def bytes_of(module: nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in module.parameters())
