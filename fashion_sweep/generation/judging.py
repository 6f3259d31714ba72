"""Scores the evaluation images of a trial as they are drawn, and keeps each batch in a file until all are there.

A last short batch is padded, since kernels differ a little by batch size. Where memory does not suffice for a batch it
goes through the model in parts, and its file says how large they were.
"""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file
from torch import Tensor

from fashion_sweep.generation.drawing import SILENT, draw
from fashion_sweep.generation.generator import Generator
from fashion_sweep.metrics.judge import Judge
from fashion_sweep.run.events import Observer
from fashion_sweep.storage.files import is_whole, write_tensors

logger = logging.getLogger(__name__)
AT_ONCE = "images_at_once"


def judge_batches(
    generator: Generator,
    judge: Judge,
    captions: Sequence[str],
    folder: Path,
    batches: Iterable[int],  # the numbers of those that this worker makes
    observer: Observer = SILENT,
) -> None:
    """Draws and scores every batch in `batches` that `folder` does not hold yet."""
    size = generator.config.batch_size

    def keep(indices: range, images: Tensor) -> None:
        with observer.stage("features", images=len(indices)):
            kept = judge.per_image(images, captions[indices.start : indices.stop])
        at_once = min(generator.at_once or size, size)
        rows = {name: values.numpy() for name, values in kept.items()}
        write_tensors(_batch_path(folder, indices.start), rows, {AT_ONCE: str(at_once)})
        logger.info("images %d to %d are judged", indices.start, indices.stop - 1)

    draw(
        generator,
        captions,
        [(generator.config.seed, index) for index in range(len(captions))],
        keep,
        batches=batches,
        is_kept=lambda indices: is_whole(_batch_path(folder, indices.start)),
        observer=observer,
    )


def collect_batches(folder: Path, count: int, batch_size: int, first: int = 0) -> dict[str, np.ndarray]:
    """Loads what is kept of images `first` to `count`, in the order of their prompts, once every batch is there."""
    parts = [load_file(_batch_path(folder, start)) for start in range(first, count, batch_size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def images_at_once(folder: Path, count: int, batch_size: int, first: int = 0) -> int:
    """Returns the fewest images that went through the model together: `batch_size`, or fewer if memory fell short."""
    sizes = [batch_size]
    for start in range(first, count, batch_size):
        with safe_open(_batch_path(folder, start), "pt") as file:
            sizes.append(int((file.metadata() or {}).get(AT_ONCE, batch_size)))
    return min(sizes)


def _batch_path(folder: Path, start: int) -> Path:
    return folder / f"{start:06d}.safetensors"
