"""Defines the task of a run over garments: each trial learns one photo, and is judged by its pictures' closeness."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fashion_sweep.config.preset import Preset, RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue
from fashion_sweep.data.garment import keep_photos, photo_of
from fashion_sweep.encodings.cache_part import CachePart
from fashion_sweep.handover.task_card import TaskCard
from fashion_sweep.report.results import TrialResult
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.tasks.garment import rehearsing
from fashion_sweep.tasks.garment.prior import Prior
from fashion_sweep.tasks.garment.recipe import PHOTOS, drawings_of, garment_config, open_garments, recipe_of
from fashion_sweep.tasks.garment.registration import entry_of_garment
from fashion_sweep.tracking.registry import RegistryEntry
from fashion_sweep.tracking.tracked import Columns

if TYPE_CHECKING:
    from fashion_sweep.tasks.trial_worker import TrialWorker


class GarmentTask:
    """Implements `tasks.task.Task` for a run over garments."""

    name = "garment"
    fails_unread = True

    def open(self, name: str, config: RunConfig, run: RunPaths) -> Catalogue:
        return open_garments(config, run)

    def keep(self, catalogue: Catalogue, run: RunPaths) -> Catalogue:
        return keep_photos(catalogue, run.photos)

    def original_size(self, config: RunConfig, name: str, catalogue: Catalogue) -> tuple[int, int]:
        """Returns the size of the picture itself: a photo may be small, and pictures must not look like small ones."""
        size = config.preset.picture_size(name)
        return size.height, size.width

    def trigger_words(self, config: RunConfig) -> Sequence[str]:
        recipe = recipe_of(config.preset)
        return recipe.token, recipe.attribute_token

    def negative_prompt(self, config: RunConfig, spec: TrialSpec) -> str | None:
        """Returns None, even for the base model, unlike the study: what is compared is the adapter alone."""
        return None

    def check(self, config: RunConfig) -> None:
        """Checks nothing: photos are opened one by one, and those that cannot be read are told by name."""

    def cache_parts(self, config: RunConfig, views: int) -> Sequence[CachePart]:
        return [Prior(config, views, PHOTOS)] if recipe_of(config.preset).prior else []

    def trained_on(self, trial: "TrialWorker") -> dict[str, Any]:
        images: dict[str, Any] = {"only": trial.spec.item}
        cache = trial.caches.parts.get(Prior.KIND)
        if cache is None:
            return images
        from fashion_sweep.training.batches import PriorPictures

        (kind,) = (one.kind for one in trial.config.sweep.garments if one.name == trial.spec.item)
        part = Prior(trial.config, trial.caches.views, PHOTOS)
        return images | {"prior": PriorPictures(cache, part.rows_of(kind), part.caption(kind), part.prior.weight)}

    def judge(self, trial: "TrialWorker") -> dict[str, Any]:
        """Judges the trial's pictures; returns no metrics, since no evaluation set is judged."""
        from fashion_sweep.tasks.garment.judging import judge_trial

        judge_trial(trial)
        return {}

    def help(self, trial: "TrialWorker", name: str) -> None:
        """Draws some of the trial's pictures."""
        from fashion_sweep.tasks.garment.judging import draw_with_others

        draw_with_others(trial)

    def summary(self, trial: "TrialWorker") -> dict[str, Any]:
        from fashion_sweep.tasks.garment.judgement import summary

        return summary(trial.paths, trial.spec.item) if trial.spec.item else {}

    def write_report(self, run: RunPaths, seconds: Mapping[str, float] | None = None) -> None:
        from fashion_sweep.tasks.garment.report import write_garment_report

        write_garment_report(run, seconds)

    def show(self, run: RunPaths, console: Console) -> None:
        from fashion_sweep.tasks.garment.report import show_garments

        show_garments(run, console)

    def columns(self, config: RunConfig) -> Columns:
        closeness = ["closeness", "identified", "colour_delta_e"]
        return Columns(
            params=["parameters"],
            metrics=closeness,
            quality=closeness,
            section="Closeness to the photos",
            ascends=False,
            sizes_differ=False,
        )

    def artifacts(self, run: RunPaths, spec: TrialSpec) -> Sequence[Path]:
        trial = run.trial(spec.trial_id)
        return [trial.sheet, trial.closeness, *([photo_of(run.photos, spec.item)] if spec.item else [])]

    def to_register(
        self, config: RunConfig, states: Mapping[TrialSpec, str], results: Mapping[str, Any]
    ) -> Sequence[TrialSpec]:
        """Returns each garment's trial as soon as it is done, whatever becomes of the others."""
        return [spec for spec, state in states.items() if state == "done" and spec.item]

    def entry(self, run: RunPaths, config: RunConfig, spec: TrialSpec, results: Mapping[str, Any]) -> RegistryEntry:
        return entry_of_garment(run, config, spec)

    def best(self, config: RunConfig, specs: Sequence[TrialSpec], results: Mapping[str, Any]) -> TrialSpec | None:
        """Returns the only garment's trial: of several none is the best, for each is another garment's."""
        garments = [spec for spec in specs if spec.item]
        return garments[0] if len(garments) == 1 else None

    def card(self, config: RunConfig, trial: TrialResult, verdicts: Mapping[str, Any]) -> TaskCard:
        from fashion_sweep.tasks.garment.card import card_of

        return card_of(config, trial)

    judging = "closeness to a photo"

    def example(self, preset: Preset) -> RunConfig:
        return garment_config(preset, [rehearsing.GARMENT])

    def stand_in(self, config: RunConfig, run: RunPaths) -> Catalogue:
        return rehearsing.made_up_photo(config, run)

    def smaller(self, preset: Preset) -> Preset:
        return rehearsing.smaller(preset)

    def pictures(self, config: RunConfig, spec: TrialSpec) -> int:
        return len(drawings_of(config, spec.item))


GARMENT = GarmentTask()
