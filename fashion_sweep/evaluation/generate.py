"""Generating and scoring the evaluation images of a trial, batch by batch, each batch a file of its own.

Batch k holds the same prompts and noise whoever makes it, so several workers share the batches, and what a killed
worker finished is not made again. A last short batch is padded, since kernels differ a little by batch size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from fashion_sweep.config import GenerationConfig, Size
from fashion_sweep.draws import standard_normal
from fashion_sweep.evaluation.features import Judge, Scores
from fashion_sweep.files import is_whole, replacing
from fashion_sweep.models.family import Family, GenerationRequest
from fashion_sweep.sweep_file import SamplePrompt


@dataclass(frozen=True)
class Generator:
    """A loaded model with all that stays the same over the images of one evaluation set."""

    model: Family
    config: GenerationConfig
    size: Size
    original_size: tuple[int, int]
    """(height, width) for the size conditioning: as in training."""
    negative_prompt: str | None

    def images(self, prompts: Sequence[str], draws: Sequence[tuple[int, int]], batch_size: int) -> Tensor:
        """uint8 N,3,H,W; image i's noise is that of `draws[i]` = (seed, index), whatever batch it is in.

        N is at most `batch_size`, to which a shorter batch is padded.
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
        )
        return self.model.generate(request, self.config)[: len(prompts)]


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
            with replacing(path) as temporary:
                judge.scores(images, prompts).save(temporary)
        finished += len(indices)
        progress(finished)


def collect_batches(folder: Path, count: int, batch_size: int) -> Scores:
    """The scores of all `count` images, in the order of their prompts, once every batch is there."""
    return Scores.load(_batch_path(folder, start) for start in range(0, count, batch_size))


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


def _batch_path(folder: Path, start: int) -> Path:
    return folder / f"{start:06d}.safetensors"
