"""Generating and scoring the evaluation images of a trial, batch by batch, each batch a file of its own.

Batch k holds the same prompts and noise whoever makes it, so several workers share the batches, and what a killed
worker finished is not made again. A last short batch is padded, since kernels differ a little by batch size. Where
memory does not suffice for a batch it goes through the model in parts, and its file says how large they were.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from fashion_sweep.config.data_source import Size
from fashion_sweep.config.preset import GenerationConfig
from fashion_sweep.config.sweep import SamplePrompt
from fashion_sweep.errors import TrialError
from fashion_sweep.metrics.extractors import Judge, Scores
from fashion_sweep.models.memory import as_much_as_fits, is_out_of_memory
from fashion_sweep.models.model import GenerationRequest, Model
from fashion_sweep.rng import standard_normal
from fashion_sweep.storage.files import is_whole, replacing

logger = logging.getLogger(__name__)
AT_ONCE = "images_at_once"
PREVIEWED, PREVIEW_HEIGHT = 3, 256
"""Sample prompts of a preview, and pixels below which it is enlarged."""


@dataclass
class Generator:
    """A loaded model with all that stays the same over the images of one evaluation set."""

    model: Model
    config: GenerationConfig
    size: Size
    original_size: tuple[int, int]
    """(height, width) that pictures are to look like they come from: as in training."""
    negative_prompt: str | None
    on_step: Callable[[], None] = lambda: None
    """Called after each denoising step."""
    at_once: int | None = None
    """Images that go through the model together; None: as many as a batch has, until memory does not suffice."""

    def images(self, prompts: Sequence[str], draws: Sequence[tuple[int, int]], batch_size: int) -> Tensor:
        """uint8 N,3,H,W; image i's noise is that of `draws[i]` = (seed, index), whatever batch it is in.

        N is at most `batch_size`, to which a shorter batch is padded.

        Raises:
            TrialError: memory does not suffice for one image.
        """
        shape = self.model.latent_shape(self.size.height, self.size.width)
        missing = batch_size - len(prompts)
        padded_prompts = [*prompts, *[prompts[-1]] * missing]
        padded_draws = [*draws, *[draws[-1]] * missing]
        noise = [standard_normal(seed, "generate", index, shape=shape) for seed, index in padded_draws]
        request = GenerationRequest(
            prompts=padded_prompts,
            noise=torch.stack(noise),
            original_size=self.original_size,
            negative_prompt=self.negative_prompt,
            on_step=self.on_step,
        )
        return self._as_much_as_fits(request)[: len(prompts)]

    def _as_much_as_fits(self, request: GenerationRequest) -> Tensor:
        count = len(request.prompts)
        made: list[Tensor] = []

        def make(size: int) -> None:
            made.clear()
            for start in range(0, count, size):
                prompts, noise = request.prompts[start : start + size], request.noise[start : start + size]
                made.append(self.model.sample(replace(request, prompts=prompts, noise=noise), self.config))

        size = min(self.at_once or count, count)
        try:
            fitting = as_much_as_fits(make, size, _say_fewer)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise TrialError(
                f"out of memory with one image of {self.size.height}x{self.size.width}; set model.dtype=bfloat16 where "
                "it is float32, a smaller evaluation size of the data set, or use a larger device"
            ) from error
        if fitting < size:
            self.at_once = fitting
        return torch.cat(made)


def judge_batches(
    generator: Generator,
    judge: Judge,
    captions: Sequence[str],
    folder: Path,
    mine: slice,  # which of all batches this worker makes
    progress: Callable[[int], None],  # images finished by this worker
) -> None:
    """Makes and scores every batch in `mine` that `folder` does not hold yet."""
    finished = 0
    for start in range(0, len(captions), generator.config.batch_size)[mine]:
        indices = range(start, min(start + generator.config.batch_size, len(captions)))
        path = _batch_path(folder, start)
        if not is_whole(path):
            prompts = [captions[i] for i in indices]
            draws = [(generator.config.seed, i) for i in indices]
            images = generator.images(prompts, draws, generator.config.batch_size)
            at_once = min(generator.at_once or generator.config.batch_size, generator.config.batch_size)
            judge.scores(images, prompts).save(path, {AT_ONCE: str(at_once)})
            logger.info("images %d to %d are judged", start, indices.stop - 1)
        finished += len(indices)
        progress(finished)


def collect_batches(folder: Path, count: int, batch_size: int) -> Scores:
    """The scores of all `count` images, in the order of their prompts, once every batch is there."""
    return Scores.load(_batch_path(folder, start) for start in range(0, count, batch_size))


def images_at_once(folder: Path, count: int, batch_size: int) -> int:
    """The fewest images that went through the model together: `batch_size`, or less where memory did not suffice."""
    sizes = []
    for start in range(0, count, batch_size):
        with safe_open(_batch_path(folder, start), "pt") as file:
            sizes.append(int((file.metadata() or {}).get(AT_ONCE, batch_size)))
    return min(sizes)


def write_samples(generator: Generator, samples: Sequence[SamplePrompt], folder: Path) -> None:
    """One PNG per sample prompt, `00.png` …; image noise depends on the prompt's own seed only."""
    size = min(generator.config.batch_size, len(samples))
    for start in range(0, len(samples), size or 1):
        part = samples[start : start + size]
        draws = [(sample.seed, 0) for sample in part]
        images = generator.images([sample.prompt for sample in part], draws, batch_size=size)
        for number, image in enumerate(images, start):
            with replacing(folder / f"{number:02d}.png") as temporary:
                Image.fromarray(image.permute(1, 2, 0).cpu().numpy()).save(temporary)


def write_preview(
    generator: Generator, samples: Sequence[SamplePrompt], path: Path, on_step: Callable[[], None]
) -> None:
    """The first sample prompts side by side in one PNG, large enough to be looked at; nothing where that is there.

    The base model draws alone, since a model that trains has no refiner. Where memory does not suffice, it is told.
    """
    drawn = samples[:PREVIEWED]
    if not drawn or path.is_file():
        return
    alone = replace(generator, config=generator.config.model_copy(update={"refine_fraction": 0.0}), on_step=on_step)
    try:
        images = alone.images([one.prompt for one in drawn], [(one.seed, 0) for one in drawn], batch_size=len(drawn))
    except TrialError as error:
        logger.warning("no preview: %s", error)
        return
    strip = Image.fromarray(torch.cat([*images], dim=2).permute(1, 2, 0).cpu().numpy())
    larger = max(1, -(-PREVIEW_HEIGHT // strip.height))
    with replacing(path) as temporary:
        strip.resize((strip.width * larger, strip.height * larger), Image.Resampling.BICUBIC).save(temporary, "PNG")


def _say_fewer(size: int) -> None:
    logger.warning(
        "out of memory; now with %d images at a time, which differ from those of a whole batch by rounding "
        "(generation.batch_size=%d saves the attempt, for all trials alike)",
        *(size, size),
    )


def _batch_path(folder: Path, start: int) -> Path:
    return folder / f"{start:06d}.safetensors"
