"""Forecasts the hours of a sweep from the pace of a worker. Arithmetic alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from fashion_sweep.config.preset import Preset, RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.split import held_out_count, steps_for
from fashion_sweep.encodings.size import CacheSize, trials_size
from fashion_sweep.judging.looks import race_shares
from fashion_sweep.rehearsal.meter import caching
from fashion_sweep.rehearsal.scale import all_specs, cost_group
from fashion_sweep.tasks.task import task_of

HOUR = 3600.0


@dataclass(frozen=True)
class ImagePace:
    """Holds the seconds that one worker needs for one image of an evaluation set."""

    base_step: float
    second_step: float
    decode: float
    features: float
    forward: float
    """The seconds for one sample through the denoiser."""

    def image(self, preset: Preset) -> float:
        """Returns the seconds from noise to features, at the preset's number of steps."""
        steps = preset.generation.num_inference_steps
        refined = round(steps * preset.refined)
        base = steps - refined
        return base * self.base_step + refined * self.second_step + self.decode + self.features


@dataclass(frozen=True)
class Pace:
    """Holds the seconds that one worker needs; every figure is measured, or all are reckoned from operations."""

    step: Mapping[object, float]
    """The seconds for its share of one optimizer step, by cost group; with its captions, where they are not cached."""
    forward: float
    """The seconds for one validation sample, its caption aside."""
    caption: float
    """The seconds for encoding one caption while training or judging."""
    rows: Mapping[str, float]
    """The seconds for one row of the cache, by kind."""
    images: Mapping[str, ImagePace]
    """The pace of images by evaluation set."""
    statistics: float
    """The seconds for FID, KID and CLIP score of all images of a set."""


@dataclass(frozen=True)
class Amount:
    """Holds the amounts that the real run works on."""

    records: Mapping[str, int]
    """The number of images kept, by data set."""
    captions: int
    """The number of distinct captions of the images trained on."""
    workers_per_trial: int
    gpus_per_worker: int
    cluster: int
    """The number of workers that fit into the cluster, at least those of one trial."""

    @property
    def gpus(self) -> int:
        """Returns the number of GPUs of the cluster."""
        return self.cluster * self.gpus_per_worker

    def on_one_worker(self) -> "Amount":
        """Returns the same work without any GPU, trials one after the other."""
        return replace(self, workers_per_trial=1, gpus_per_worker=0, cluster=1)


@dataclass(frozen=True)
class TrialForecast:
    title: str
    training: float
    judging: float
    steps: int
    gpus: int

    @property
    def seconds(self) -> float:
        return self.training + self.judging

    @property
    def gpu_hours(self) -> float:
        return self.seconds * self.gpus / HOUR


@dataclass(frozen=True)
class Forecast:
    trials: Sequence[TrialForecast]
    preparing: float
    """The seconds of preparing the cache by the clock, with all workers of the cluster at it."""
    at_once: int
    """The number of trials side by side."""
    gpus: int
    """The number of GPUs of the cluster."""
    race: tuple[float, float] | None = None
    """The share of judging that a race is likely to take, from and to; None without one."""

    def raced(self) -> "tuple[Forecast, Forecast] | None":
        """Returns the least and the most that is likely with a race; None without one."""
        if self.race is None:
            return None
        low, high = (
            replace(self, trials=[replace(one, judging=share * one.judging) for one in self.trials], race=None)
            for share in self.race
        )
        return low, high

    @property
    def hours(self) -> float:
        """Returns the hours by the clock: no trial ends before its own time, and all keep the cluster busy so long."""
        spent = [trial.seconds for trial in self.trials]
        return (self.preparing + max(max(spent, default=0.0), sum(spent) / self.at_once)) / HOUR

    @property
    def gpu_hours(self) -> float:
        return sum(trial.gpu_hours for trial in self.trials) + self.preparing * self.gpus / HOUR


def forecast(config: RunConfig, pace: Pace, amount: Amount, cache: CacheSize) -> Forecast:
    """Forecasts the hours of a sweep; `cache` is what the real run keeps."""
    preparing = sum(part.rows * pace.rows[part.kind] for part in cache.parts)
    side_by_side = amount.cluster // amount.workers_per_trial
    return Forecast(
        trials=[_trial(config, spec, pace, amount, cache.without_captions) for spec in all_specs(config)],
        preparing=preparing / amount.cluster,
        at_once=min(side_by_side, config.preset.resources.max_concurrent_trials or side_by_side),
        gpus=amount.gpus,
        race=race_shares(config),
    )


def _trial(config: RunConfig, spec: TrialSpec, pace: Pace, amount: Amount, without_captions: bool) -> TrialForecast:
    training, preset, workers = config.training_of(spec), config.preset, amount.workers_per_trial
    steps, trained = 0, 0.0
    if not spec.is_base_model:
        records = amount.records[preset.training_set]
        steps = steps_for(training, records)
        validations = 1 + math.ceil(steps / training.validation_every)
        held_out = held_out_count(records, training.validation_fraction)
        shares = preset.resources.workers_per_trial / workers  # of a step, that each worker makes
        trained = steps * pace.step[cost_group(spec)] * shares
        encodes = spec.trains_conditioning or without_captions
        validated = pace.forward + (pace.caption if encodes else 0.0)
        trained += validations * math.ceil(held_out / workers) * validated
    drawn = task_of(config).pictures(config, spec)
    judged = math.ceil(drawn / workers) * pace.images[config.drawn_as].image(preset) if drawn else 0.0
    for name in config.sweep.judge:
        images = pace.images[name]
        judged += math.ceil(preset.evaluation.samples / workers) * images.image(preset) + pace.statistics
        if name != preset.training_set and not spec.is_base_model:
            judged += min(preset.evaluation.loss_samples, amount.records[name]) * (images.forward + pace.caption)
    return TrialForecast(spec.title, trained, judged, steps, workers * amount.gpus_per_worker)


def disk(config: RunConfig, cache: CacheSize, amount: Amount, adapters: Mapping[str, int]) -> dict[str, float]:
    """Returns the bytes on disk by what they are for; `adapters` holds parameters by trial."""
    cached = {caching(part.kind): float(part.bytes) for part in cache.parts}
    return cached | trials_size(config, [adapters[spec.trial_id] for spec in all_specs(config)])
