"""The pace of a worker: as measured here, and as reckoned from operations for GPUs that are not here."""

from dataclasses import dataclass

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.encodings.size import CacheSize
from fashion_sweep.planning.assumed_gpu import FLOAT32_SHARE, TF32_SHARE
from fashion_sweep.planning.cost import FILE_S
from fashion_sweep.rehearsal.flops import Flops
from fashion_sweep.rehearsal.forecast import ImagePace, Pace
from fashion_sweep.rehearsal.meter import Meter, Work, caching
from fashion_sweep.rehearsal.scale import Scale, placement, representatives
from fashion_sweep.rehearsal.timings import Timings


@dataclass(frozen=True)
class Measured:
    """What a rehearsal has timed."""

    meter: Meter
    timings: Timings
    scale: Scale


def measured_pace(config: RunConfig, measured: Measured, cache: CacheSize) -> Pace:
    """Of this machine; `cache`: what was rehearsed is kept."""
    timings, scale, meter = measured.timings, measured.scale, measured.meter
    passes = _passes(config)
    images: dict[str, ImagePace] = {
        name: ImagePace(
            base_step=passes * timings.seconds("base", name),
            refiner_step=passes * timings.seconds("refiner", name) if scale.refiner_steps else 0.0,
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
        step={placement(spec): seconds for spec, seconds in steps.items()},
        forward=images[first].forward * trained.height * trained.width / (size.height * size.width),
        caption=sum(timings.seconds(encoder, first) for encoder in ("text_encoder", "text_encoder_2")),
        rows={part.kind: meter.seconds(caching(part.kind)) for part in cache.parts},
        images=images,
        statistics=meter.seconds(Work.STATISTICS) if config.sweep.judge else 0.0,
    )


def reckoned_pace(
    config: RunConfig, flops: dict[str, Flops], cache: CacheSize, tflops: float, statistics: float
) -> Pace:
    """Of a GPU that sustains `tflops` 1e12 bfloat16 operations a second.

    A step is the forward pass, the backward pass to the activations (as many operations: the frozen weights need no
    gradient), and with gradient checkpointing the forward pass again.
    """
    pace, passes, own = tflops * 1e12, _passes(config), flops["training"]
    autoencoder, extractor = pace * TF32_SHARE, pace * FLOAT32_SHARE
    through = 3 if config.preset.training.gradient_checkpointing else 2
    text = {True: through * own.text, False: own.text if cache.without_captions else 0.0}
    steps = {placement(spec): through * own.base + text[spec.trains_conditioning] for spec in _trained(config)}
    rows = {"images": FILE_S + cache.views * own.encode / autoencoder, "captions": own.text / pace}
    drawing = passes * config.preset.generation.num_inference_steps * own.base / pace
    rows["prior"] = drawing + (own.decode + own.encode) / autoencoder + own.text / pace
    for name in config.sweep.judge:
        seen = flops[name]
        rows[f"reference-{name}"] = FILE_S + seen.reference / extractor
        rows[f"loss-{name}"] = FILE_S + seen.encode / autoencoder + (seen.base + seen.text) / pace
    return Pace(
        step={key: _share(config) * operations / pace for key, operations in steps.items()},
        forward=own.base / pace,
        caption=own.text / pace,
        rows={part.kind: rows[part.kind] for part in cache.parts},
        images={
            name: ImagePace(
                base_step=passes * flops[name].base / pace,
                refiner_step=passes * flops[name].second / pace,
                decode=flops[name].decode / autoencoder,
                features=flops[name].features / extractor,
                forward=flops[name].base / pace,
            )
            for name in config.drawn_on
        },
        statistics=statistics,
    )


def _passes(config: RunConfig) -> int:
    """Samples in a call of a UNet for each image."""
    return 2 if config.preset.generation.guidance_scale > 1 else 1


def _share(config: RunConfig) -> int:
    """Samples of a step that a worker makes."""
    return config.preset.training.batch_size // config.preset.resources.workers_per_trial


def sustained(config: RunConfig, pace: Pace, flops: dict[str, Flops]) -> float:
    """Operations a second that the base UNet reached in the measured pace."""
    name = config.drawn_as
    return flops[name].base / pace.images[name].forward


def _trained(config: RunConfig) -> list[TrialSpec]:
    return [spec for spec in representatives(config) if not spec.is_base_model]
