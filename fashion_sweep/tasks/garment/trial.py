"""A garment's trial: after training, its pictures, and how close each comes to the photo of every garment."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import distributed

from fashion_sweep.data.catalogue import Record, read_catalogue
from fashion_sweep.data.garment import photo_of
from fashion_sweep.data.images import load_rgb
from fashion_sweep.encodings import parts as cache_parts
from fashion_sweep.encodings.caches import Caches
from fashion_sweep.generation.generator import Generator
from fashion_sweep.metrics.extractors import Clip
from fashion_sweep.models.model import Model
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import is_whole, read_json, replacing, write_json
from fashion_sweep.tasks.catalogue.trial import Trial
from fashion_sweep.tasks.garment.closeness import Look, closeness, cut_out, look_of
from fashion_sweep.tasks.garment.judgement import summary
from fashion_sweep.tasks.garment.recipe import Drawing, drawings_of, recipe_of
from fashion_sweep.tasks.garment.sheet import write_regions, write_sheet
from fashion_sweep.training import batches

logger = logging.getLogger(__name__)


class GarmentTrial(Trial):
    """The base model's draws the prompts of all garments: what they look like without an adapter."""

    def judge(self) -> dict[str, Any]:
        """Writes pictures and `closeness.json`; no evaluation set is judged."""
        with self.status.stage("load"):
            model = self.load_for_pictures()
            clip = self.load_clip()
        drawings = drawings_of(self.config, self.spec.garment)
        with self.status.stage("judge", images=0, images_total=len(drawings)):
            self._draw(self.generator(model, self.config.drawn_as), drawings)
            if self.worker.world_size > 1:
                distributed.barrier()
                remote.fetch(self.paths.pictures)
            if self.worker.rank == 0:
                write_json(self.paths.closeness, self._closeness(clip, drawings))
                if name := self.spec.garment:
                    pictures = read_json(self.paths.closeness)["pictures"]
                    photo = photo_of(self.run.photos, name)
                    write_sheet(self.paths.sheet, name, photo, self.paths.pictures, pictures)
                    write_regions(self.paths.regions, name, drawings[0].kind, photo, self.paths.pictures, pictures)
        return {}

    def load_clip(self) -> Clip:
        evaluation = self.config.preset.evaluation
        return Clip(evaluation.clip_model, evaluation.clip_pretrained, torch.device(self.worker.device))

    def original_size(self, name: str) -> tuple[int, int]:
        """That of the picture itself: a photo may be small, and pictures are not to look like small ones."""
        size = self.config.preset.picture_size(name)
        return size.height, size.width

    def generator(self, model: Model, name: str) -> Generator:
        """Without the negative prompt that the study gives the base model: what is compared is the adapter alone."""
        return replace(super().generator(model, name), negative_prompt=None)

    @property
    def trigger_words(self) -> Sequence[str]:
        recipe = recipe_of(self.config.preset)
        return recipe.token, recipe.attribute_token

    def trained_on(self, caches: Caches) -> dict[str, Any]:
        own: dict[str, Any] = {"only": self.spec.garment}
        if caches.prior is None:
            return own
        (kind,) = (one.kind for one in self.config.sweep.garments if one.name == self.spec.garment)
        part = cache_parts.Prior(self.config, caches.views, self.config.preset.training_set)
        prior = batches.PriorPictures(caches.prior, part.rows_of(kind), part.caption(kind), part.prior.weight)
        return own | {"prior": prior}

    def summary(self) -> dict[str, Any]:
        return {"garment": summary(self.paths, self.spec.garment)} if self.spec.garment else {}

    def _draw(self, generator: Generator, drawings: Sequence[Drawing]) -> None:
        """Those of this worker that are not there yet, a batch at a time: a prompt's, for a picture does not depend on
        what is drawn beside it."""
        size, rank, world_size = generator.config.batch_size, self.worker.rank, self.worker.world_size
        batches = [drawings[start : start + size] for start in range(0, len(drawings), size)]
        done = 0
        for batch in batches[rank::world_size]:
            if not all(drawing.path(self.paths.pictures).is_file() for drawing in batch):
                prompts = [drawing.prompt for drawing in batch]
                images = generator.images(prompts, [(drawing.seed, 0) for drawing in batch], size)
                for drawing, image in zip(batch, images, strict=True):
                    with replacing(drawing.path(self.paths.pictures)) as temporary:
                        Image.fromarray(image.permute(1, 2, 0).cpu().numpy()).save(temporary)
            done += len(batch)
            self.status.update(images=done * world_size)

    def _closeness(self, clip: Clip, drawings: Sequence[Drawing]) -> dict[str, Any]:
        records = read_catalogue(self.run.catalogue(self.config.preset.training_set)).records
        kinds = {garment.name: garment.kind for garment in self.config.sweep.garments}
        photos = [self._look_of_photo(clip, Path(record.path), kinds[record.name]) for record in records]
        paths = [(drawing.path(self.paths.pictures), drawing.kind) for drawing in drawings]
        pictures = look_at(clip, paths, self.status.update)
        return {
            "pictures": [
                {
                    **asdict(drawing),
                    "file": drawing.path(self.paths.pictures).name,
                    "region": picture.region,
                    "closeness": self._compared(picture, records, photos),
                }
                for drawing, picture in zip(drawings, pictures, strict=True)
            ]
        }

    def _look_of_photo(self, clip: Clip, photo: Path, kind: str) -> Look:
        """Kept beside it, for each trial compares its pictures with all photos."""
        self.status.update()
        known = photo.with_suffix(".look.safetensors")
        remote.fetch_file(known)
        if not is_whole(known):
            remote.fetch_file(photo)
            (look,) = look_at(clip, [(photo, kind)])
            look.save(known)
        return Look.load(known)

    def _compared(self, picture: Look, records: Sequence[Record], photos: Sequence[Look]) -> dict[str, Any]:
        self.status.update()  # of many garments it takes long
        return {record.name: described(picture, photo) for record, photo in zip(records, photos, strict=True)}


def look_at(clip: Clip, images: Sequence[tuple[Path, str]], alive: Callable[[], None] = lambda: None) -> list[Look]:
    """Of each image file with a garment of that kind in it. alive: called for each."""
    found: list[Look] = []
    for path, kind in images:
        alive()
        cut = cut_out(np.asarray(load_rgb(path)), kind)
        embedding = clip.image_features(torch.from_numpy(cut.pixels).movedim(-1, 0)[None])[0].numpy()
        found.append(look_of(cut, embedding))
    return found


def described(ours: Look, theirs: Look) -> dict[str, float]:
    found = closeness(ours, theirs)
    return {**asdict(found), "score": found.score}
