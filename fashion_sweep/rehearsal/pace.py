"""The pace of a worker: as measured here, and as reckoned from operations for GPUs that are not here."""

from dataclasses import dataclass

from fashion_sweep.config import RunConfig
from fashion_sweep.models.gpu import FLOAT32_SHARE, TF32_SHARE
from fashion_sweep.rehearsal.flops import Flops
from fashion_sweep.rehearsal.forecast import ImagePace, Pace
from fashion_sweep.rehearsal.meter import Meter
from fashion_sweep.rehearsal.samples import SAMPLES
from fashion_sweep.rehearsal.scale import Scale, placement, representatives
from fashion_sweep.rehearsal.watched import Timings
from fashion_sweep.space import TrialSpec


@dataclass(frozen=True)
class Measured:
    """What a rehearsal has timed."""

    meter: Meter
    timings: Timings
    scale: Scale
    captions: int

    def seconds(self, stage: str) -> float:
        """Of the last stage of that name."""
        return next((s.seconds for s in reversed(self.meter.stages) if s.name == stage), 0.0)


def measured_pace(config: RunConfig, measured: Measured) -> Pace:
    """Of this machine."""
    training = config.preset.training
    images: dict[str, ImagePace] = {}
    timings, scale = measured.timings, measured.scale
    passes = 2 if config.preset.generation.guidance_scale > 1 else 1
    for name in config.sweep.judge:
        batch = scale.images_at_once
        base = timings.seconds("base", name) / batch
        images[name] = ImagePace(
            base_step=base,
            refiner_step=timings.seconds("refiner", name) / batch,
            decode=timings.seconds("decoder", name) / batch,
            features=measured.seconds("features") / min(batch, SAMPLES),
            reference=measured.seconds(f"cache reference-{name}") / SAMPLES,
            forward=base / passes,
        )
    first = config.sweep.judge[0]
    size, trained = config.preset.data.of(first).evaluation, training.image
    share = training.batch_size // config.preset.resources.workers_per_trial
    steps = {spec: min(timings.steps[spec.trial_id]) / scale.batch_size * share for spec in _trained(config)}
    return Pace(
        step={placement(spec): seconds for spec, seconds in steps.items()},
        forward=images[first].forward * trained.height * trained.width / (size.height * size.width),
        encode_view=measured.seconds("cache images") / (SAMPLES * training.views),
        encode_caption=measured.seconds("cache captions") / measured.captions,
        images=images,
        statistics=measured.seconds("statistics"),
    )


def reckoned_pace(config: RunConfig, flops: dict[str, Flops], tflops: float, statistics: float) -> Pace:
    """Of a GPU that sustains `tflops` 1e12 bfloat16 operations a second.

    A step is the forward pass, the backward pass to the activations (as many operations: the frozen weights need no
    gradient), and with gradient checkpointing the forward pass again.
    """
    training, resources = config.preset.training, config.preset.resources
    passes = 2 if config.preset.generation.guidance_scale > 1 else 1
    pace = tflops * 1e12
    autoencoder, extractor = pace * TF32_SHARE, pace * FLOAT32_SHARE
    through = 3 if training.gradient_checkpointing else 2
    share, own = training.batch_size // resources.workers_per_trial, flops["training"]
    return Pace(
        step={
            placement(spec): share * through * (own.base + (own.text if spec.trains_text_encoders else 0.0)) / pace
            for spec in _trained(config)
        },
        forward=own.base / pace,
        encode_view=own.encode / autoencoder,
        encode_caption=own.text / pace,
        images={
            name: ImagePace(
                base_step=passes * flops[name].base / pace,
                refiner_step=passes * flops[name].refiner / pace,
                decode=flops[name].decode / autoencoder,
                features=flops[name].features / extractor,
                reference=flops[name].reference / extractor,
                forward=flops[name].base / pace,
            )
            for name in config.sweep.judge
        },
        statistics=statistics,
    )


def sustained(config: RunConfig, pace: Pace, flops: dict[str, Flops]) -> float:
    """Operations a second that the base UNet reached in the measured pace."""
    name = config.sweep.judge[0]
    return flops[name].base / pace.images[name].forward


def _trained(config: RunConfig) -> list[TrialSpec]:
    return [spec for spec in representatives(config) if not spec.is_base_model]
