"""Tries on the hardware of a run what fits into its memory and what is fastest, with the true shapes of a step.

Candidates are tried with the largest adapter of the run, before any trial; what is chosen is the same for all trials
and changes results by rounding at most.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from accelerate import Accelerator

from fashion_sweep.adapters import attaching
from fashion_sweep.config.loading import read_run_config
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.doors import OPTIMIZERS
from fashion_sweep.encodings.caches import read_caches
from fashion_sweep.errors import first_line
from fashion_sweep.models.attention import choose_attention
from fashion_sweep.models.emulated import autocast_on
from fashion_sweep.models.memory import is_out_of_memory, release_memory
from fashion_sweep.models.model import Batch, Framing, Model
from fashion_sweep.models.precision import tf32
from fashion_sweep.models.registry import default_device, load_model
from fashion_sweep.planning.plan import specs_of
from fashion_sweep.planning.space import parameters_of
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.status import Alive
from fashion_sweep.training.settled import AUTO, Settled

logger = logging.getLogger(__name__)
MEMORY = "memory does not suffice"
STEPS = 3
"""The steps that are timed, after one that is not."""
FULL = 0.9
"""The share of a GPU's memory that a step may take: feature extractors want some, and no two steps are quite alike."""
WORTH = 0.97
"""The share of the time that a step may take at most with what is not chosen by default."""


@dataclass(frozen=True)
class Tried:
    """What came of one way to take a step."""

    settled: Settled
    seconds: float | None
    """Of a sample; None where it does not work."""
    first_s: float = 0.0
    """Seconds of the first step, compiling in it."""
    peak_bytes: int = 0
    why: str = ""
    """What keeps it from working."""


Try = Callable[[Settled], Tried]


def probe(run: RunPaths, alive: Alive) -> dict[str, Any]:
    """Settles what a run's configuration leaves open, in a worker.

    Returns:
        The fields of `Settled`, and `tried`: a row of what was tried, with seconds a sample and peak GiB, each.
    """
    config, device = read_run_config(run.config), default_device()
    if device == "cpu":
        return asdict(Settled()) | {"tried": []}
    tries: list[Tried] = []
    if all(spec.is_base_model for spec in specs_of(config)):
        return asdict(Settled()) | {"tried": []}
    bench = Bench(config, device, has_captions=run.caches.is_file() and read_caches(run).captions is not None)

    def attempt(settled: Settled) -> Tried:
        alive()
        tries.append(bench.step(settled))
        return tries[-1]

    chosen = choose(config, attempt, choose_attention("auto", device))
    bench.close()
    return asdict(chosen) | {"tried": [in_words(one) for one in tries]}


def choose(config: RunConfig, attempt: Try, kernels: str) -> Settled:
    """Returns the fastest way that fits.

    Args:
        config: says what is left open.
        attempt: takes some steps in a way.
        kernels: of attention that run here, besides torch's own.
    """
    fitting = [one for group in _memory_candidates(config) if (one := _first_that_fits(group, attempt))]
    if not fitting:
        return Settled(micro_batch_size=1)
    best = min(fitting, key=lambda one: one.seconds or 0.0)
    model, steps = config.preset.model, config.preset.training.steps or 1000
    for way in ({"attention": kernels}, {"channels_last": True}, {"compile": True}):
        settled: Settled = replace(best.settled, **way)
        if any(getattr(model, name) != AUTO for name in way) or settled == best.settled:
            continue
        other = attempt(settled)
        if other.seconds is None or best.seconds is None:
            continue
        saved = (best.seconds - other.seconds) * config.preset.training.batch_size * steps
        if other.seconds < WORTH * best.seconds and saved > other.first_s:
            best = other
    return best.settled


def _memory_candidates(config: RunConfig) -> list[list[Settled]]:
    """Returns groups of ways to take a step, in each the largest micro-batch first."""
    training, model = config.preset.training, config.preset.model
    share = training.batch_size // config.preset.resources.workers_per_trial
    sizes = [share >> halved for halved in range(share.bit_length()) if share % (share >> halved) == 0]
    if training.micro_batch_size != AUTO:
        sizes = [training.samples_at_once(share)]
    checkpointing = (
        [False, True] if training.gradient_checkpointing == AUTO else [bool(training.gradient_checkpointing)]
    )
    given = Settled(
        attention="sdpa" if model.attention == AUTO else model.attention,
        channels_last=model.channels_last is True,
        compile=model.compile is True,
    )
    return [
        [replace(given, gradient_checkpointing=checkpoints, micro_batch_size=size) for size in sizes]
        for checkpoints in checkpointing
    ]


def _first_that_fits(group: Sequence[Settled], attempt: Try) -> Tried | None:
    return next((tried for settled in group if (tried := attempt(settled)).seconds is not None), None)


class Bench:
    """Takes steps of the run's largest trial, on a model that is loaded anew where its settings change."""

    def __init__(self, config: RunConfig, device: str, has_captions: bool = False) -> None:
        """`has_captions`: they come encoded from the cache, where no trained component reads them."""
        self._config, self._device, self._has_captions = config, device, has_captions
        trained = [spec for spec in specs_of(config) if not spec.is_base_model]
        # Where text encoders are trained, their activations are kept too.
        self._spec: TrialSpec = max(trained, key=lambda spec: (spec.trains_conditioning, parameters_of(config, spec)))
        self._loaded: tuple[Any, Model] | None = None

    def step(self, settled: Settled) -> Tried:
        """Takes some steps of a micro-batch; what does not work, for whatever reason, is not chosen."""
        release_memory()  # what the last way has left reserved is none of this one's
        try:
            return self._step(settled)
        except Exception as error:
            why = MEMORY if is_out_of_memory(error) else first_line(error)
        release_memory()  # now that the error is gone, which held the tensors
        return Tried(settled, None, why=why)

    def _step(self, settled: Settled) -> Tried:
        model_config, training = settled.model(self._config.model_of(self._spec)), self._config.training_of(self._spec)
        model = self._model(model_config.model_copy(update=_of_model(settled)))
        parameters = attaching.attach(
            model.components, self._spec, training, 0, lambda component, text: model.token_row(component, text)
        )
        try:
            batch = self._batch(model, settled.micro_batch_size or training.batch_size)
            if self._has_captions and not self._spec.trains_conditioning:
                model.finish_encoding()
            model.prepare_training(self._spec.components, settled.gradient_checkpointing)
            optimizer = OPTIMIZERS[training.optimizer].make(parameters.groups, training)
            return self._timed(model, optimizer, batch, settled)
        finally:
            model.finish_training()
            attaching.detach(model.components, self._spec)

    def close(self) -> None:
        """Frees the model."""
        self._loaded = None
        release_memory()

    def _timed(self, model: Model, optimizer: torch.optim.Optimizer, batch: Batch, settled: Settled) -> Tried:
        training, on_gpu, size = self._config.preset.training, model.device.type == "cuda", len(batch.latents)
        accelerator = Accelerator(cpu=not on_gpu, mixed_precision=autocast_on(model.device, training.autocast))
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        seconds = []
        for _ in range(1 + STEPS):
            started = time.monotonic()
            with tf32(training.tf32), accelerator.autocast():
                loss = model.loss(batch).mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            loss.item()
            seconds.append(time.monotonic() - started)
        peak = torch.cuda.max_memory_reserved() if on_gpu else 0
        if on_gpu and peak > FULL * torch.cuda.mem_get_info()[1]:
            return Tried(settled, None, peak_bytes=peak, why=MEMORY)
        return Tried(settled, min(seconds[1:]) / size, seconds[0], peak)

    def _model(self, model_config: Any) -> Model:
        """Returns the model with all that drawing takes, which lies in memory beside a step."""
        if self._loaded is None or self._loaded[0] != model_config:
            self.close()
            self._loaded = model_config, load_model(model_config, self._device, for_pictures=True)
        return self._loaded[1]

    def _batch(self, model: Model, size: int) -> Batch:
        image = self._config.preset.training.image
        shape = (size, *model.latent_shape(image.height, image.width))
        framing = Framing((image.height, image.width), (0, 0), (image.height, image.width))
        captions = ["A photo."] * size
        text = model.tokenize(captions) if self._spec.trains_conditioning else model.encode_text(captions)
        return Batch(
            latents=torch.randn(shape),
            noise=torch.randn(shape),
            timesteps=torch.randint(model.num_train_timesteps, (size,)),
            # Cloned: what was computed without gradients cannot be trained through.
            conditioning={name: t.clone() for name, t in {**text, **model.encode_framing([framing] * size)}.items()},
        )


def _of_model(settled: Settled) -> dict[str, Any]:
    return {name: getattr(settled, name) for name in ("attention", "channels_last", "compile")}


def way_in_words(way: Settled) -> str:
    """Returns how a step is taken, as a user reads it."""
    words = [f"{way.micro_batch_size} samples at once", "checkpointing" if way.gradient_checkpointing else ""]
    words += [way.attention, "channels-last" if way.channels_last else "", "compiled" if way.compile else ""]
    return ", ".join(filter(None, words))


def in_words(tried: Tried) -> str:
    """Returns a row of the table of what was tried."""
    outcome = tried.why if tried.seconds is None else f"{tried.seconds:.4f} s a sample"
    return f"{way_in_words(tried.settled)}: {outcome}, peak {tried.peak_bytes / 2**30:.1f} GiB"
