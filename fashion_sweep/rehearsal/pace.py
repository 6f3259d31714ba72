"""Computes the pace of a worker: as measured here, and as reckoned from operations for GPUs that are not here."""

from dataclasses import dataclass

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.encodings.parts import all_parts
from fashion_sweep.encodings.size import CacheSize
from fashion_sweep.planning.gpu import Gpu
from fashion_sweep.rehearsal.flops import Flops
from fashion_sweep.rehearsal.forecast import ImagePace, Pace
from fashion_sweep.rehearsal.meter import Meter, Work, caching
from fashion_sweep.rehearsal.scale import Scale, cost_group, representatives
from fashion_sweep.rehearsal.timings import Timings


@dataclass(frozen=True)
class Measurements:
    """Holds what a rehearsal has timed."""

    meter: Meter
    timings: Timings
    scale: Scale


def measured_pace(config: RunConfig, measured: Measurements, cache: CacheSize) -> Pace:
    """Returns the pace of this machine as measured; of the `cache`, what was rehearsed is kept."""
    timings, scale, meter = measured.timings, measured.scale, measured.meter
    passes = _passes(config)
    images: dict[str, ImagePace] = {
        name: ImagePace(
            base_step=passes * timings.seconds("base", name),
            second_step=passes * timings.seconds("second", name) if scale.second_steps else 0.0,
            decode=timings.seconds("decoder", name),
            features=meter.seconds(Work.FEATURES),
            forward=timings.seconds("base", name),
        )
        for name in config.drawn_on
    }
    first = config.drawn_as
    size, trained = config.preset.picture_size(first), config.preset.training.image
    steps = {spec: min(timings.steps[spec.trial_id]) / scale.batch_size * _share(config) for spec in _trained(config)}
    return Pace(
        step={cost_group(spec): seconds for spec, seconds in steps.items()},
        forward=images[first].forward * trained.height * trained.width / (size.height * size.width),
        caption=sum(timings.seconds(component, first) for component in config.architecture.text_components),
        rows={part.kind: meter.seconds(caching(part.kind)) for part in cache.parts},
        images=images,
        statistics=meter.seconds(Work.STATISTICS) if config.sweep.judge else 0.0,
    )


def reckoned_pace(
    config: RunConfig, flops: dict[str, Flops], cache: CacheSize, tflops: float, statistics: float
) -> Pace:
    """Returns the pace of a GPU that sustains `tflops` 1e12 bfloat16 operations a second.

    A step is the forward pass, the backward pass to the activations (as many operations: the frozen weights need no
    gradient), and with gradient checkpointing the forward pass again.
    """
    gpu, passes, in_training = Gpu(bfloat16=tflops * 1e12), _passes(config), flops["training"]
    through = 3 if config.preset.training.gradient_checkpointing else 2
    text = {True: through * in_training.text, False: in_training.text if cache.without_captions else 0.0}
    steps = {cost_group(spec): through * in_training.base + text[spec.trains_conditioning] for spec in _trained(config)}
    parts = all_parts(config, cache.views)
    rows = {
        kind: part.seconds(in_training if part.FOR_TRAINING else flops[part.data_set], gpu)
        for kind, part in parts.items()
    }
    return Pace(
        step={key: _share(config) * operations / gpu.bfloat16 for key, operations in steps.items()},
        forward=in_training.base / gpu.bfloat16,
        caption=in_training.text / gpu.bfloat16,
        rows={part.kind: rows[part.kind] for part in cache.parts},
        images={
            name: ImagePace(
                base_step=passes * flops[name].base / gpu.bfloat16,
                second_step=passes * flops[name].second / gpu.bfloat16,
                decode=flops[name].decode / gpu.tf32,
                features=flops[name].features / gpu.float32,
                forward=flops[name].base / gpu.bfloat16,
            )
            for name in config.drawn_on
        },
        statistics=statistics,
    )


def _passes(config: RunConfig) -> int:
    """Returns how many samples a call of the denoiser takes for each image."""
    return 2 if config.preset.generation.guidance_scale > 1 else 1


def _share(config: RunConfig) -> int:
    """Returns how many samples of a step one worker makes."""
    return config.preset.training.batch_size // config.preset.resources.workers_per_trial


def sustained(config: RunConfig, pace: Pace, flops: dict[str, Flops]) -> float:
    """Returns the operations a second that the base model's denoiser reached in the measured pace."""
    name = config.drawn_as
    return flops[name].base / pace.images[name].forward


def _trained(config: RunConfig) -> list[TrialSpec]:
    return [spec for spec in representatives(config) if not spec.is_base_model]
