"""Draws pictures of a garment on demand with its adapter, ranked by how close they come to its photo."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from fashion_sweep.config.loading import read_run_config
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.sweep import Garment
from fashion_sweep.data.garment import photo_of
from fashion_sweep.errors import ConfigError, did_you_mean
from fashion_sweep.handover.generate import DEFAULT_FOLDER, generate
from fashion_sweep.handover.requests import DrawingRequest
from fashion_sweep.metrics.networks import Clip
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.run.stage_inputs import fetch_configs, fetch_for_drawing
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import as_csv, write_text
from fashion_sweep.tasks.garment.judging import described, look_at
from fashion_sweep.tasks.garment.recipe import prompts_of, recipe_of
from fashion_sweep.tasks.garment.sheet import SCORE_COLUMNS, ranked, scores_of, write_regions, write_sheet


@dataclass(frozen=True)
class Known:
    """Describes a garment that has an adapter, with the run that trained it."""

    garment: Garment
    run: RunPaths
    config: RunConfig

    def prompts(self, given: Sequence[str], prefix: str | None) -> list[str]:
        """Returns the prompts as they are drawn: those given, or the recipe's; behind `prefix`, or the recipe's."""
        recipe = recipe_of(self.config.preset)
        changed = recipe if prefix is None else recipe.model_copy(update={"prefix": prefix})
        return prompts_of(changed, self.garment, given)


def find_garment(name: str) -> Known:
    """Finds the newest run that has trained the garment.

    Raises:
        ConfigError: no run has trained it.
    """
    fetch_configs()
    configs = sorted(runs_root().glob("*/config.yaml"), key=lambda path: path.stat().st_mtime, reverse=True)
    trained, without = set[str](), list[str]()
    for path in configs:
        run = RunPaths(path.parent)
        try:
            config = read_run_config(path)
        except ConfigError:  # of a run that another version has made, or a damaged one
            continue
        for garment in config.sweep.garments:
            adapter = run.trial(garment.name).adapter
            if adapter.name not in remote.names(adapter.parent):
                without += [run.name] if garment.name == name else []
            elif garment.name == name:
                return Known(garment, run, config)
            else:
                trained.add(garment.name)
    if without:
        raise ConfigError(f"garment {name!r} has no adapter yet; see python -m fashion_sweep status {without[0]}")
    remedy = did_you_mean(name, sorted(trained)) if trained else "; train one with garment train"
    raise ConfigError(f"no garment {name!r} has an adapter in {runs_root()}{remedy}")


def _unused(path: Path) -> Path:
    """Returns the path, or the first numbered one that is unused: earlier pictures and their scores are kept."""
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return next(one for one in chain([path], numbered) if not one.exists())


def draw_garment(
    known: Known, prompts: Sequence[str], seeds: Sequence[int], output: Path | None, console: Console
) -> tuple[list[dict[str, Any]], Path]:
    """Draws each prompt with each seed; writes pictures, contact sheet and scores.

    Returns:
        The pictures, the closest first: prompt, seed, file, closeness; and the contact sheet.
    """
    folder = output or DEFAULT_FOLDER / known.garment.name
    if folder.suffix:
        raise ConfigError(f"--output {folder}: is a folder for the pictures; give it a name without {folder.suffix}")
    fetch_for_drawing(known.run, known.run.trial(known.garment.name))
    wish = DrawingRequest(
        prompts=prompts, seeds=seeds, adapters=(str(known.run.trial(known.garment.name).root),), output=folder
    )
    files = generate(wish, None, (), console)[: wish.images]
    evaluation = known.config.preset.evaluation
    clip = Clip(evaluation.clip_model, evaluation.clip_pretrained, torch.device("cpu"))
    photo = photo_of(known.run.photos, known.garment.name)
    theirs, *ours = look_at(clip, [(path, known.garment.kind) for path in (photo, *files)])
    name = known.garment.name
    pictures = [
        {
            "prompt": prompt,
            "seed": seed,
            "file": path.name,
            "region": look.region,
            "closeness": {name: described(look, theirs)},
        }
        for (prompt, seed), path, look in zip(wish.draws(1), files, ours, strict=True)
    ]
    sheet = _unused(folder / "contact-sheet.png")
    write_sheet(sheet, name, photo, folder, pictures)
    write_regions(_unused(folder / "regions.png"), name, known.garment.kind, photo, folder, pictures)
    header = ("prompt", "seed", "file", *SCORE_COLUMNS)
    lines = [[one["prompt"], one["seed"], one["file"], *scores_of(one, name)] for one in ranked(pictures, name)]
    write_text(_unused(folder / "scores.csv"), as_csv([header, *lines]))
    return ranked(pictures, name), sheet
