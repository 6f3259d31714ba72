"""Makes a stand-in for a garment whose photo is not given, and the recipe as small as a rehearsal can be."""

import numpy as np
from PIL import Image

from fashion_sweep.config.preset import Preset, RunConfig
from fashion_sweep.config.sweep import Garment
from fashion_sweep.data.catalogue import Catalogue, Record
from fashion_sweep.data.garment import keep_photos
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.tasks.garment.recipe import PHOTOS, caption_of, recipe_of

PHOTO = (750, 1101)
"""The width and height of a made-up photo, in pixels."""
GARMENT = Garment(photo="made-up-0.jpg", kind="sweater", attribute="pattern", name="made-up", digest="")


def made_up_photo(config: RunConfig, run: RunPaths) -> Catalogue:
    """Makes up a photo of `GARMENT`, kept in the run as that of any garment."""
    path = run.made_up(PHOTOS) / GARMENT.photo
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(0).integers(0, 256, (24, 16, 3), dtype=np.uint8)
    Image.fromarray(small).resize(PHOTO, Image.Resampling.BICUBIC).save(path, quality=92)
    record = Record(GARMENT.name, str(path), caption_of(recipe_of(config.preset), GARMENT), *PHOTO)
    return keep_photos(Catalogue((record,), 0, ()), run.photos)


def smaller(preset: Preset) -> Preset:
    """Returns the preset with one prompt, one seed and one picture of each kind."""
    recipe = recipe_of(preset)
    prior = recipe.prior and recipe.prior.model_copy(update={"images": 1})
    small = recipe.model_copy(update={"seeds": 1, "prompts": recipe.prompts[:1], "prior": prior})
    return preset.model_copy(update={"garment": small})
