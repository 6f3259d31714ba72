"""Draws pictures batch by batch, in one loop for all, and writes PNG files of most of them.

Batch k holds the same prompts and noise whoever draws it, so several workers share the batches, and what a killed
worker has kept is not drawn again.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from fashion_sweep.config.sweep import SamplePrompt
from fashion_sweep.errors import TrialError
from fashion_sweep.generation.generator import Generator
from fashion_sweep.run.events import Observer
from fashion_sweep.storage.files import replacing

logger = logging.getLogger(__name__)
PREVIEWED, PREVIEW_HEIGHT = 3, 256
"""The height in pixels below which a preview is enlarged; `PREVIEWED`: the number of its sample prompts."""
SILENT = Observer()


def draw(
    generator: Generator,
    prompts: Sequence[str],
    draws: Sequence[tuple[int, int]],  # (seed, index) of each image's noise
    keep: Callable[[range, Tensor], None],  # is given each batch: which images it has, and those, uint8 n,3,H,W
    *,
    batch_size: int | None = None,  # to which the last batch is padded; None: the generator's own
    batches: Iterable[int] | None = None,  # the numbers of those that are drawn, in this order; None: all
    is_kept: Callable[[range], bool] = lambda indices: False,  # such a batch is not drawn again
    observer: Observer = SILENT,
) -> None:
    """Draws the images, a batch at a time, and gives each batch to `keep`."""
    size = batch_size or generator.config.batch_size
    for number in range(-(-len(prompts) // size)) if batches is None else batches:
        start = number * size
        indices = range(start, min(start + size, len(prompts)))
        if not is_kept(indices):
            batch = slice(start, indices.stop)
            with observer.stage("generate", first=start, images=len(indices)):
                images = generator.images(prompts[batch], draws[batch], size)
            keep(indices, images)


def save_png(path: Path, image: Tensor, texts: Mapping[str, Any] | None = None) -> None:
    """Writes one image, uint8 3,H,W, with `texts` in the file for whoever looks for them."""
    info = PngInfo()
    for key, value in (texts or {}).items():
        info.add_text(key, str(value))
    with replacing(path) as temporary:
        _as_image(image).save(temporary, "PNG", pnginfo=info)


def write_samples(
    generator: Generator, samples: Sequence[SamplePrompt], folder: Path, observer: Observer = SILENT
) -> None:
    """Writes one PNG per sample prompt, `00.png` …; an image's noise depends on the prompt's own seed only."""

    def keep(indices: range, images: Tensor) -> None:
        for number, image in zip(indices, images, strict=True):
            save_png(folder / f"{number:02d}.png", image)

    size = min(generator.config.batch_size, len(samples)) or None
    prompts, draws = [sample.prompt for sample in samples], [(sample.seed, 0) for sample in samples]
    draw(generator, prompts, draws, keep, batch_size=size, observer=observer)


def write_preview(
    generator: Generator, samples: Sequence[SamplePrompt], path: Path, on_step: Callable[[], None]
) -> None:
    """Writes the first sample prompts side by side in one PNG, large enough to be looked at, unless it is there.

    The base model draws alone, since a model in training has no second one. Where memory does not suffice, a warning is
    logged.
    """
    drawn = samples[:PREVIEWED]
    if not drawn or path.is_file():
        return
    alone = replace(generator, config=generator.config.model_copy(update={"refine_fraction": 0.0}), on_step=on_step)

    def keep(indices: range, images: Tensor) -> None:
        strip = _as_image(torch.cat([*images], dim=2))
        larger = max(1, -(-PREVIEW_HEIGHT // strip.height))
        with replacing(path) as temporary:
            strip.resize((strip.width * larger, strip.height * larger), Image.Resampling.BICUBIC).save(temporary, "PNG")

    try:
        draw(alone, [one.prompt for one in drawn], [(one.seed, 0) for one in drawn], keep, batch_size=len(drawn))
    except TrialError as error:
        logger.warning("no preview: %s", error)
    generator.model.finish_encoding()  # training goes on


def _as_image(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).cpu().numpy())
