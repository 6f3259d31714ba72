"""Judges a garment's trial: its pictures are drawn, and each is compared with the photo of every garment."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from fashion_sweep.data.catalogue import Record
from fashion_sweep.data.garment import photo_of
from fashion_sweep.data.images import load_rgb
from fashion_sweep.generation.drawing import draw, save_png
from fashion_sweep.generation.generator import Generator
from fashion_sweep.metrics.extractors import CLIP
from fashion_sweep.metrics.networks import Clip
from fashion_sweep.models.model import Model
from fashion_sweep.run import stage_inputs
from fashion_sweep.storage.files import is_whole, read_json, write_json
from fashion_sweep.tasks.garment.closeness import Look, closeness, cut_out, look_of
from fashion_sweep.tasks.garment.recipe import Drawing, drawings_of
from fashion_sweep.tasks.garment.sheet import write_regions, write_sheet
from fashion_sweep.tasks.trial_worker import TrialWorker

PICTURES = "pictures"
"""The name of the work that lanes share."""


def judge_trial(trial: TrialWorker) -> None:
    """Writes pictures, `closeness.json` and contact sheets; the base model draws the prompts of all garments."""
    evaluation, name = trial.config.preset.evaluation, trial.spec.item
    with ExitStack() as stack:
        with trial.observer.stage("load"):
            model = stack.enter_context(trial.drawing_model())
            clip = trial.loaded.network(CLIP, evaluation, trial.worker.device)
            trial.observer.loaded("judge", [clip.model])
        drawings = drawings_of(trial.config, name)
        with trial.observer.stage("judge", images=0, images_total=len(drawings)):
            _judge(trial, model, clip, drawings)


def draw_with_others(trial: TrialWorker) -> None:
    """Draws some of the pictures of a trial, which another lane judges."""
    with trial.drawing_model() as model:
        _draw(trial, trial.generator(model, trial.config.drawn_as), drawings_of(trial.config, trial.spec.item))


def _judge(trial: TrialWorker, model: Model, clip: Clip, drawings: Sequence[Drawing]) -> None:
    name, data_set = trial.spec.item, trial.config.drawn_as
    with trial.observer.stage("draw", data_set=data_set):
        _draw(trial, trial.generator(model, data_set), drawings)
    if trial.worker.world_size > 1:
        distributed.barrier()
    if trial.worker.rank == 0:
        stage_inputs.fetch_made(trial.paths.pictures, trial.run.photos)
        with trial.observer.stage("features", images=len(drawings) + len(trial.config.sweep.garments)):
            compared = _closeness(trial, clip, drawings)
        write_json(trial.paths.closeness, compared)
        if name:
            pictures = read_json(trial.paths.closeness)["pictures"]
            photo = photo_of(trial.run.photos, name)
            write_sheet(trial.paths.sheet, name, photo, trial.paths.pictures, pictures)
            write_regions(trial.paths.regions, name, drawings[0].kind, photo, trial.paths.pictures, pictures)


def _draw(trial: TrialWorker, generator: Generator, drawings: Sequence[Drawing]) -> None:
    """Draws this worker's pictures that are not there yet, a batch at a time."""
    paths = [drawing.path(trial.paths.pictures) for drawing in drawings]

    def keep(indices: range, images: Tensor) -> None:
        for number, image in zip(indices, images, strict=True):
            save_png(paths[number], image)

    draw(
        generator,
        [drawing.prompt for drawing in drawings],
        [(drawing.seed, 0) for drawing in drawings],
        keep,
        batches=trial.batches(PICTURES, len(drawings), generator.config.batch_size),
        is_kept=lambda indices: all(paths[number].is_file() for number in indices),
        observer=trial.observer,
    )


def _closeness(trial: TrialWorker, clip: Clip, drawings: Sequence[Drawing]) -> dict[str, Any]:
    records = trial.catalogue(trial.config.preset.training_set).records
    kinds = {garment.name: garment.kind for garment in trial.config.sweep.garments}
    alive = trial.observer.update
    photos = [_look_of_photo(clip, Path(record.path), kinds[record.name], alive) for record in records]
    paths = [(drawing.path(trial.paths.pictures), drawing.kind) for drawing in drawings]
    pictures = look_at(clip, paths, alive)
    return {
        "pictures": [
            {
                **asdict(drawing),
                "file": drawing.path(trial.paths.pictures).name,
                "region": picture.region,
                "closeness": _compared(picture, records, photos, alive),
            }
            for drawing, picture in zip(drawings, pictures, strict=True)
        ]
    }


def _look_of_photo(clip: Clip, photo: Path, kind: str, alive: Callable[[], None]) -> Look:
    """Returns the look of a photo; it is kept beside the photo, as each trial compares its pictures with all photos."""
    alive()
    kept = photo.with_suffix(".look.safetensors")
    if not is_whole(kept):
        (look,) = look_at(clip, [(photo, kind)])
        look.save(kept)
    return Look.load(kept)


def _compared(
    picture: Look, records: Sequence[Record], photos: Sequence[Look], alive: Callable[[], None]
) -> dict[str, Any]:
    alive()  # of many garments it takes long
    return {record.name: described(picture, photo) for record, photo in zip(records, photos, strict=True)}


def look_at(clip: Clip, images: Sequence[tuple[Path, str]], alive: Callable[[], None] = lambda: None) -> list[Look]:
    """Returns the look of each image file with a garment of that kind in it; calls `alive` for each."""
    looks: list[Look] = []
    for path, kind in images:
        alive()
        cut = cut_out(np.asarray(load_rgb(path)), kind)
        embedding = clip.image_features(torch.from_numpy(cut.pixels).movedim(-1, 0)[None])[0].numpy()
        looks.append(look_of(cut, embedding))
    return looks


def described(ours: Look, theirs: Look) -> dict[str, float]:
    """Returns how close one look comes to another, measure by measure, with their score."""
    compared = closeness(ours, theirs)
    return {**asdict(compared), "score": compared.score}
