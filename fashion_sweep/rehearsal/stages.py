"""Runs the stages that cost something, in the order of a run, each by the function that `run` does it with."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console

from fashion_sweep.adapters.formats import count_saved, formats_of
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.encodings.caches import read_caches
from fashion_sweep.encodings.encoders import LOADERS
from fashion_sweep.encodings.parts import all_parts
from fashion_sweep.encodings.prepare import Shard, make_shard, missing_shards
from fashion_sweep.encodings.real_images import write_real_statistics
from fashion_sweep.errors import TrialError
from fashion_sweep.handover.export import ExportRequest, export
from fashion_sweep.models.loaded import Loaded
from fashion_sweep.planning.plan import specs_of
from fashion_sweep.planning.space import parameters_of
from fashion_sweep.rehearsal.flops import Flops, count_work
from fashion_sweep.rehearsal.forecast import Forecast, disk, forecast
from fashion_sweep.rehearsal.meter import GIB, Meter, StageCost, Work, caching
from fashion_sweep.rehearsal.pace import Measurements, Pace, measured_pace, reckoned_pace, sustained
from fashion_sweep.rehearsal.scale import all_specs, is_short_of_gpus
from fashion_sweep.rehearsal.setting import RehearsalOptions, Setting
from fashion_sweep.rehearsal.timings import Timings
from fashion_sweep.rehearsal.trial import rehearse_trial
from fashion_sweep.tracking.mirror import mirror, remove_experiment

LOADING = {"model": Work.LOAD_BASE, "pipelines": Work.LOAD_PIPELINES, "judge": Work.LOAD_JUDGE}
"""The stage that loads what makes a part of the cache, by the maker's name."""


@dataclass(frozen=True)
class Outcome:
    setting: Setting
    stages: list[StageCost]
    parameters: Mapping[str, int]
    """The number of parameters in the exported adapters, by trial."""
    here: Forecast
    elsewhere: Forecast | None
    """The forecast for GPUs that were not here to be measured."""
    pace: Pace
    disk: Mapping[str, float]
    weights: Mapping[str, int]
    """The bytes of the base model, the second one and the judge."""
    sustained: float | None
    """The operations a second of the base model's denoiser here; None where they cannot be counted."""


def play(setting: Setting, wish: RehearsalOptions, console: Console) -> Outcome:
    meter = Meter(setting.device, lambda stage: _say(stage, console), setting.run.log)
    work = count_work(setting.config)  # first: a mistake in it is not to come up after all stages
    timings, exported = Timings(), {spec.trial_id: 0 for spec in setting.specs if spec.is_base_model}
    judged = setting.config.preset.evaluation.samples
    with meter.watching(), _threads_of_a_worker(setting):
        _fill_cache(setting, meter)
        for spec in setting.specs:
            meter.trial = spec.title
            rehearse_trial(setting.run, spec.trial_id, setting.device, meter, timings, judged)
            if not spec.is_base_model:
                exported[spec.trial_id] = _export(setting, spec, meter)
        meter.trial = None
        with meter.stage(Work.MIRROR):
            mirror(setting.run, going=False)
            remove_experiment(setting.run)
    return _foretell(setting, Measurements(meter, timings, setting.scale), work, exported, wish)


def _export(setting: Setting, spec: TrialSpec, meter: Meter) -> int:
    """Exports an adapter; returns the trial's parameters, counted in the files that other tools would read.

    Raises:
        TrialError: the formats do not hold the same number, or not the planned one.
    """
    counted = {"planned": parameters_of(setting.config, spec)}
    with meter.stage(Work.EXPORT):
        for name in formats_of(spec):
            files = export(ExportRequest(setting.run, name, spec.trial_id))
            counted[name] = sum(count_saved(path) for path in files if path.suffix == ".safetensors")
        if len(set(counted.values())) > 1:
            raise TrialError(f"parameters differ by format: {counted}")
    return counted["planned"]


@contextmanager
def _threads_of_a_worker(setting: Setting) -> Iterator[None]:
    """Gives torch the threads that the preset allows a worker; all, where the preset counts on a missing GPU."""
    before, resources = torch.get_num_threads(), setting.config.preset.resources
    if not resources.gpus_per_worker:
        torch.set_num_threads(resources.cpus_per_worker)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fill_cache(setting: Setting, meter: Meter) -> None:
    """Fills the cache as workers of a cluster do, one shard of each kind. What they keep loaded is loaded first."""
    config: RunConfig = setting.scaled
    shards = missing_shards(setting.run, specs_of(setting.config))
    parts = all_parts(config, config.preset.training.views)
    for maker, loading in LOADING.items():
        if mine := [shard for shard in shards if maker == parts[shard.kind].MADE_BY]:
            with meter.stage(loading):
                model = LOADERS[maker](Loaded(), config)
            for shard in mine:
                _make(shard, model, setting, meter)
            del model
    with meter.stage(Work.REFERENCES):
        write_real_statistics(setting.run)


def _make(shard: Shard, model: Any, setting: Setting, meter: Meter) -> None:
    rows = read_caches(setting.run).parts[shard.kind].rows  # all of them in one shard
    for _ in range(setting.scale.cache_passes):
        with meter.stage(caching(shard.kind), rows):
            make_shard(shard, model=model)


def _say(stage: StageCost, console: Console) -> None:
    memory = f"{stage.peak_rss / GIB:.1f} GiB"
    if stage.peak_gpu:
        memory += f", GPU {stage.peak_gpu / GIB:.1f} GiB"
    word = "" if stage.done else "  so far" if stage.going else "  FAILED"
    name = f"{stage.name} ({stage.trial})" if stage.trial else stage.name
    name = f"{'  ' * stage.depth}{name}"
    console.print(f"  {name:<60} {stage.seconds:8.1f} s   peak {memory}{word}", markup=False, soft_wrap=True)


def _foretell(
    setting: Setting,
    measured: Measurements,
    work: dict[str, Flops] | None,
    exported: Mapping[str, int],
    wish: RehearsalOptions,
) -> Outcome:
    config, amount, cache = setting.config, setting.amount, setting.cache
    pace = measured_pace(config, measured, cache)
    short = is_short_of_gpus(config.preset, setting.device)
    here = amount.on_one_worker() if short else amount
    elsewhere = None
    if work is not None and short:
        reckoned = reckoned_pace(config, work, cache, wish.tflops, pace.statistics)
        elsewhere = forecast(config, reckoned, amount, cache)
    planned = {spec.trial_id: parameters_of(config, spec) for spec in all_specs(config)}
    return Outcome(
        setting=setting,
        stages=measured.meter.stages,
        parameters=exported,
        here=forecast(config, pace, here, cache),
        elsewhere=elsewhere,
        pace=pace,
        disk=disk(config, cache, amount, planned),
        weights=measured.timings.weights,
        sustained=sustained(config, pace, work) if work else None,
    )
