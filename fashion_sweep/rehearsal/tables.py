"""Presents a rehearsal: memory and time by stage, and the forecast with what it rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fashion_sweep.doors import ADAPTER_KINDS
from fashion_sweep.planning.cost import FILE_S
from fashion_sweep.planning.gpu import Gpu
from fashion_sweep.rehearsal.forecast import HOUR, Forecast
from fashion_sweep.rehearsal.meter import GIB, StageCost, Work, caching
from fashion_sweep.rehearsal.scale import is_short_of_gpus
from fashion_sweep.rehearsal.setting import RehearsalOptions
from fashion_sweep.rehearsal.stages import Outcome
from fashion_sweep.report.tables import Table, duration
from fashion_sweep.report.words import GAP
from fashion_sweep.tasks.task import task_of

DAY = 24 * HOUR


def tables(outcome: Outcome, wish: RehearsalOptions) -> list[Table]:
    result = [_stage_table(outcome.stages), _pace_table(outcome), _parameter_table(outcome)]
    result.append(_forecast_table("Forecast for this machine, as measured", outcome.here, _assumed_here(outcome)))
    if outcome.elsewhere:
        gpus = outcome.setting.amount.gpus
        title = f"Forecast for {gpus} GPU{'s' * (gpus > 1)} of the class of an A100, from operations"
        result.append(_forecast_table(title, outcome.elsewhere, _assumed_elsewhere(outcome, wish)))
        result.append(_memory_table(outcome))
    return [*result, _disk_table(outcome.disk)]


def _memory_table(outcome: Outcome) -> Table:
    rows = [(name, f"{size / GIB:.1f}") for name, size in gpu_memory(outcome).items()]
    caption = (
        "Assumes: the weights, and beside them what one sample at a time added to the process here, as many times as a "
        "worker has samples at once. Rough: kernels on a GPU keep other things than those of a CPU, and the "
        "autoencoder gets a megapixel at once, however many images there are."
    )
    return Table("Forecast of a worker's peak GPU memory", ("stage", "GiB"), tuple(rows), caption)


def gpu_memory(outcome: Outcome) -> dict[str, float]:
    """Returns the bytes at the peak of each stage that fills a GPU, reckoned from the growth of the process here."""
    preset, scale = outcome.setting.config.preset, outcome.setting.scale
    share = preset.training.batch_size // preset.resources.workers_per_trial
    at_once = preset.training.samples_at_once(share)
    base, second, judge = (outcome.weights.get(name, 0) for name in ("base", "second", "judge"))
    grown: dict[tuple[str, str], int] = {}
    for stage in outcome.stages:
        key = (stage.name, stage.trial or "")
        grown[key] = max(grown.get(key, 0), stage.peak_rss - stage.started_rss)
    peaks = {
        f"training {title}, {at_once} samples at once": base + at_once / scale.batch_size * size
        for (name, title), size in grown.items()
        if name == Work.TRAIN
    }
    drawing = max((size for (name, _), size in grown.items() if name == Work.GENERATE), default=0)
    many = preset.generation.batch_size
    peaks[f"generating, {many} images at once"] = base + second + judge + many / scale.images_at_once * drawing
    return peaks


def _stage_table(stages: Sequence[StageCost]) -> Table:
    rows = []
    for name in dict.fromkeys(stage.name for stage in stages):
        mine = [stage for stage in stages if stage.name == name]
        gpu = max(stage.peak_gpu for stage in mine)
        rows.append(
            (
                name,
                str(len(mine)),
                f"{max(stage.seconds for stage in mine):.1f}",
                f"{max(stage.peak_rss for stage in mine) / GIB:.1f}",
                f"{gpu / GIB:.1f}" if gpu else GAP,
            )
        )
    caption = "Of the worker's process; a stage's time and memory hold those of the stages within it."
    return Table("Stages", ("stage", "times", "longest, s", "peak, GiB", "GPU, GiB"), tuple(rows), caption)


def _pace_table(outcome: Outcome) -> Table:
    pace, scale = outcome.pace, outcome.setting.scale
    preset = outcome.setting.config.preset
    share = preset.training.batch_size // preset.resources.workers_per_trial
    judging, second = task_of(outcome.setting.config).judging, outcome.setting.config.architecture.second_title
    rows = [
        (f"training step ({placement_name(key)}), {share} samples", f"{seconds:.3g}")
        for key, seconds in pace.step.items()
    ]
    rows.append(("validation, a sample", f"{pace.forward:.3g}"))
    for name, images in pace.images.items():
        rows += [
            (f"{name} image, {preset.generation.num_inference_steps} steps", f"{images.image(preset):.3g}"),
            ("  a step of the base", f"{images.base_step:.3g}"),
            *([(f"  a step of the {second}", f"{images.second_step:.3g}")] if scale.second_steps else []),
            ("  decoding", f"{images.decode:.3g}"),
            (f"  {judging}", f"{images.features:.3g}"),
        ]
    rows.append(("encoding a caption", f"{pace.caption:.3g}"))
    rows += [(f"{caching(kind)}, a row", f"{seconds:.3g}") for kind, seconds in pace.rows.items()]
    done = f"{scale.steps} training steps of {scale.batch_size} and {scale.base_steps} + {scale.second_steps}"
    caption = f"Extrapolated in proportion from {done} steps an image, {scale.images_at_once} at once."
    if outcome.sustained:
        caption += f" The base model reached {outcome.sustained / 1e12:.3g}e12 operations a second."
    return Table("Pace of one worker here", ("work", "seconds"), tuple(rows), caption)


def placement_name(key: Any) -> str:
    """Returns a placement key in words, with the kinds of adapters other than the usual one."""
    adapters, targets = key
    usual = ADAPTER_KINDS.default
    names = [name if kind == usual else f"{name} {kind}" for name, kind in adapters]
    return " and ".join(names) + (f" ({' '.join(targets)})" if targets else "")


def _parameter_table(outcome: Outcome) -> Table:
    titles = {spec.trial_id: spec.title for spec in outcome.setting.specs}
    run = outcome.setting.run
    rows = tuple(
        (titles[trial_id], f"{count:,}", _bytes(run.trial(trial_id).adapter.stat().st_size) if count else GAP)
        for trial_id, count in outcome.parameters.items()
    )
    title = "Parameters, counted in the exported adapters"
    return Table(title, ("configuration", "parameters", "adapter file"), rows)


def _forecast_table(title: str, forecast: Forecast, assumed: Sequence[str]) -> Table:
    rows = [
        (t.title, f"{t.steps:,}", _long(t.training), _long(t.judging), _long(t.seconds), _gpu_hours(t.gpu_hours))
        for t in forecast.trials
    ]
    rows.append(("preparing the cache", "", "", "", _long(forecast.preparing), GAP))
    at_once = f", {forecast.at_once} trials at once" if forecast.at_once > 1 else ""
    rows.append((f"the sweep{at_once}", "", "", "", _long(forecast.hours * HOUR), _gpu_hours(forecast.gpu_hours)))
    for words, one in zip(("at least", "at most"), forecast.raced() or (), strict=False):
        rows.append((f"with its race, likely {words}", "", "", "", _long(one.hours * HOUR), _gpu_hours(one.gpu_hours)))
    columns = ("trial", "steps", "training", "judging", "in all", "GPU-hours")
    return Table(title, columns, tuple(rows), "Assumes: " + "; ".join(assumed) + ".")


def _assumed_here(outcome: Outcome) -> list[str]:
    resources, scale = outcome.setting.config.preset.resources, outcome.setting.scale
    assumed = ["the pace above holds for all samples and steps"]
    if is_short_of_gpus(outcome.setting.config.preset, outcome.setting.device):
        assumed.append("one worker, trials one after the other")
    elif outcome.here.at_once * resources.workers_per_trial > 1:
        workers = f"{outcome.here.at_once} x {resources.workers_per_trial} workers at once"
        assumed.append(f"{workers}, each as fast as the one that ran here alone")
    if scale.batch_size == 1:
        assumed.append("samples one at a time")
    return [*assumed, *_amounts(outcome)]


def _assumed_elsewhere(outcome: Outcome, wish: RehearsalOptions) -> list[str]:
    checkpointing = outcome.setting.config.preset.training.gradient_checkpointing
    through = "forward three times (gradient checkpointing)" if checkpointing else "forward twice"
    share = Gpu(bfloat16=1)
    return [
        f"{wish.tflops:g}e12 bfloat16 operations a second sustained by each GPU (--tflops; an A100's peak is 312e12), "
        f"{share.tf32:.2g} of that by the autoencoder and {share.float32:.2g} by feature extractors",
        f"a training step is as many operations as {through}",
        f"{1000 * FILE_S:g} ms of a CPU core for a photograph of the cache; nothing lost to communication or start-up",
        *_amounts(outcome),
    ]


def _amounts(outcome: Outcome) -> list[str]:
    amount, samples = outcome.setting.amount, outcome.setting.config.preset.evaluation.samples
    config = outcome.setting.config
    if drawn := max(task_of(config).pictures(config, spec) for spec in config.specs):
        return [f"{drawn:,} pictures drawn and judged a trial"]
    sets = ", ".join(f"{count:,} {name} images" for name, count in amount.records.items())
    return [f"{sets}, {amount.captions:,} distinct captions, {samples:,} images judged a trial and set at most"]


def _disk_table(parts: Mapping[str, float]) -> Table:
    rows = [(name, _bytes(size)) for name, size in parts.items()]
    rows.append(("in all", _bytes(sum(parts.values()))))
    return Table("Disk", ("what", "size"), tuple(rows), "From the shapes of what is written.")


def as_json(outcome: Outcome, wish: RehearsalOptions) -> dict[str, Any]:
    setting = outcome.setting

    def forecast(predicted: Forecast, assumed: Sequence[str]) -> dict[str, Any]:
        return {
            "hours": predicted.hours,
            "gpu_hours": predicted.gpu_hours,
            "race": [{"hours": one.hours, "gpu_hours": one.gpu_hours} for one in predicted.raced() or ()],
            "preparing_seconds": predicted.preparing,
            "trials": [asdict(t) | {"seconds": t.seconds, "gpu_hours": t.gpu_hours} for t in predicted.trials],
            "assumptions": list(assumed),
        }

    steps = {placement_name(key): seconds for key, seconds in outcome.pace.step.items()}
    elsewhere = outcome.elsewhere
    return {
        "sweep": setting.config.sweep.name,
        "preset": setting.config.preset.name,
        "device": setting.device,
        "notes": setting.notes,
        "warnings": setting.warnings,
        "stages": [
            {key: value for key, value in asdict(stage).items() if key not in ("began", "going")}
            for stage in outcome.stages
        ],
        "parameters": dict(outcome.parameters),
        "pace": asdict(outcome.pace) | {"step": steps},
        "operations_per_second": outcome.sustained,
        "forecast_here": forecast(outcome.here, _assumed_here(outcome)),
        "forecast_gpus": forecast(elsewhere, _assumed_elsewhere(outcome, wish)) if elsewhere else None,
        "gpu_memory_bytes": gpu_memory(outcome) if elsewhere else None,
        "disk_bytes": dict(outcome.disk),
    }


def _long(seconds: float) -> str:
    return duration(seconds) if seconds < 2 * DAY else f"{seconds / DAY:,.1f} days"


def _gpu_hours(hours: float) -> str:
    return f"{hours:,.1f}" if hours else GAP


def _bytes(size: float) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size / 1e3:.1f} kB"
