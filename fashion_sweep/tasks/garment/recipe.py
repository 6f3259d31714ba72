"""Makes the configuration of a run over garments: the preset's recipe in place of its training, a garment a trial."""

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import safe_open

from fashion_sweep.adapters.metadata import PREFIX
from fashion_sweep.adapters.prompt_tokens import PROMPT_TOKENS
from fashion_sweep.config.data_source import DataSource
from fashion_sweep.config.garment_config import GarmentConfig
from fashion_sweep.config.preset import Preset, RunConfig
from fashion_sweep.config.sweep import Garment, Sweep
from fashion_sweep.config.training_axes import TRAINING_AXES
from fashion_sweep.config.trial_spec import placement_error
from fashion_sweep.data.catalogue import Catalogue
from fashion_sweep.data.garment import garment_catalogue
from fashion_sweep.doors import ARCHITECTURES
from fashion_sweep.errors import ConfigError
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.tracking.fetching import fetch

NAME = "garment"
PHOTOS = "garments"
"""The name of the data set that holds the garments' photos."""
QUESTION = "Does each garment's adapter draw that garment?"


def garment_config(preset: Preset, garments: Sequence[Garment], adapters: Mapping[str, Any] | None = None) -> RunConfig:
    """Returns the configuration of a run over garments.

    Args:
        preset: whose `garment` section becomes its training and image size.
        garments: one a trial.
        adapters: by placement, as sweep files have them, in the place of the recipe's; the same for every garment.

    Raises:
        ConfigError: the preset has no recipe for garments, a prompt cannot be filled in, or a garment has the name
            of another trial.
    """
    recipe = recipe_of(preset)
    for garment in garments:
        prompts_of(recipe, garment, (recipe.caption, *recipe.prompts))
    values = {"name": NAME, "question": QUESTION, "judge": [], "task": NAME, "garments": list(garments)}
    try:
        sweep = Sweep.model_validate(values | {"trials": [adapters_of(preset, adapters), {}]})
    except ValidationError as error:
        raise ConfigError(error.errors()[0]["msg"].removeprefix("Value error, ")) from error
    training, resources = recipe.training.model_copy(update={"data_set": PHOTOS}), preset.resources
    if recipe.prior:
        training = training.model_copy(update={"batch_size": 2 * training.batch_size})
    workers = math.gcd(resources.workers_per_trial, training.batch_size)  # a batch of one photo is for one worker
    changed = {
        "training": training,
        "data": {PHOTOS: DataSource(layout="folder", root=None, evaluation=recipe.size)},
        "resources": resources.model_copy(update={"workers_per_trial": workers}),
    }
    return RunConfig(preset=preset.model_copy(update=changed), sweep=sweep)


def adapters_of(preset: Preset, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Returns the adapters of a garment by placement: those given, or the recipe's, or the study's.

    Raises:
        ConfigError: the recipe's are of no part of the model.
    """
    recipe = recipe_of(preset)
    names = [name for name in recipe.adapters or () if name not in TRAINING_AXES]
    if error := placement_error(names, preset.model.architecture):
        raise ConfigError(f"garment.adapters: {error}")
    chosen = given or recipe.adapters or {next(iter(ARCHITECTURES[preset.model.architecture].placements)): 1}
    for_the_word = {"token": recipe.token, "prepended": False}
    return {
        placement: {**for_the_word, **value}
        if isinstance(value, Mapping) and value.get("kind") == PROMPT_TOKENS.name
        else value
        for placement, value in chosen.items()
    }


def open_garments(config: RunConfig, run: RunPaths) -> Catalogue:
    """Opens the photos of a run's garments as a catalogue, one record a garment.

    Raises:
        DataError: no photo can be read.
    """
    garments, recipe = config.sweep.garments, recipe_of(config.preset)
    return garment_catalogue(garments, [caption_of(recipe, garment) for garment in garments], run.photos)


def placement_like(address: str) -> dict[str, Any]:
    """Returns the placement of a registered adapter, with its options and the layers that it adapts.

    Raises:
        ConfigError, RunError: MLflow does not have it.
    """
    with tempfile.TemporaryDirectory(prefix="fashion-sweep-") as folder:
        fetched = fetch(address, Path(folder), "--like")
        with safe_open(fetched.file, "np") as file:
            metadata = file.metadata() or {}
    if f"{PREFIX}rank" not in metadata:
        raise ConfigError(f"--like {address}: does not tell which components it adapts, at which rank")
    targets = json.loads(metadata.get(f"{PREFIX}target_modules", "null"))
    return json.loads(metadata[f"{PREFIX}rank"]) | ({"target_modules": targets} if targets else {})


def check_settings(settings: Sequence[str]) -> None:
    """Checks the `--set` options of a run over garments.

    Raises:
        ConfigError: `--set` for something that a garment has of its own.
    """
    for setting in settings:
        key = setting.partition("=")[0]
        if key.startswith("training."):
            raise ConfigError(f"--set: {key} is that of sweeps; garments have garment.{key}")
        if key.startswith(("data.", "sweep.")):
            raise ConfigError(f"--set: {key} is nothing to garments; the photos are named in the command")


def check_tokens(preset: Preset) -> None:
    """Checks the words that stand for the garment.

    Raises:
        ConfigError: a word is one that a text encoder knows, or too long.
    """
    from fashion_sweep.models.registry import architecture_of
    from fashion_sweep.tasks.garment.tokens import check_rare

    recipe = recipe_of(preset)
    if recipe.token == recipe.attribute_token:
        raise ConfigError(f"garment.attribute_token: {recipe.token!r} stands for the garment already; take another")
    check_rare((recipe.token, recipe.attribute_token), architecture_of(preset.model).tokenizers(preset.model.base))


def recipe_of(preset: Preset) -> GarmentConfig:
    """Returns the preset's recipe for garments; raises ConfigError if it has none."""
    if preset.garment is None:
        raise ConfigError(f"preset {preset.name}: has no garment section; see presets/sdxl.yaml for one")
    return preset.garment


def caption_of(recipe: GarmentConfig, garment: Garment) -> str:
    """Returns the caption of a garment's photo."""
    return recipe.filled(recipe.caption, garment)


def prompts_of(recipe: GarmentConfig, garment: Garment, prompts: Sequence[str] = ()) -> list[str]:
    """Returns the recipe's prompts, or `prompts` in their place, as they are drawn.

    Raises:
        ConfigError: braces in one of them around something unknown.
    """
    try:
        return [recipe.filled(f"{recipe.prefix} {prompt}".strip(), garment) for prompt in prompts or recipe.prompts]
    except ValueError as error:
        raise ConfigError(f"prompt: {error}") from error


@dataclass(frozen=True)
class Drawing:
    """Describes one picture to draw."""

    number: int
    """The number of the prompt among the trial's."""
    prompt: str
    kind: str
    """The kind of garment, by which its region is found."""
    seed: int

    def path(self, folder: Path) -> Path:
        return folder / f"{self.number:02d}-seed{self.seed:03d}.png"


def drawings_of(config: RunConfig, name: str) -> list[Drawing]:
    """Returns the pictures to draw of the garment; of all garments for "", which is the base model."""
    recipe = recipe_of(config.preset)
    garments = [garment for garment in config.sweep.garments if name in ("", garment.name)]
    prompts = {prompt: garment.kind for garment in garments for prompt in prompts_of(recipe, garment)}
    return [
        Drawing(number, prompt, kind, seed)
        for number, (prompt, kind) in enumerate(prompts.items())
        for seed in range(recipe.seeds)
    ]
