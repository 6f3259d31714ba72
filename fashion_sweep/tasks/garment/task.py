"""The task of a run over garments: each trial learns one photo, and is judged by how close its pictures come to it."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.data.catalogue import Catalogue
from fashion_sweep.data.garment import keep_photos
from fashion_sweep.encodings.parts import Prior
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.tasks.garment.recipe import open_garments, recipe_of

if TYPE_CHECKING:
    from fashion_sweep.tasks.trial_worker import TrialWorker


class GarmentTask:
    """As `tasks.task.Task`."""

    name = "garment"
    fails_unread = True

    def open(self, name: str, config: RunConfig, run: RunPaths) -> Catalogue:
        return open_garments(config, run)

    def keep(self, catalogue: Catalogue, run: RunPaths) -> Catalogue:
        return keep_photos(catalogue, run.photos)

    def original_size(self, config: RunConfig, name: str, catalogue: Catalogue) -> tuple[int, int]:
        """That of the picture itself: a photo may be small, and pictures are not to look like small ones."""
        size = config.preset.picture_size(name)
        return size.height, size.width

    def trigger_words(self, config: RunConfig) -> Sequence[str]:
        recipe = recipe_of(config.preset)
        return recipe.token, recipe.attribute_token

    def negative_prompt(self, config: RunConfig, spec: TrialSpec) -> str | None:
        """None, also not the study's for the base model: what is compared is the adapter alone."""
        return None

    def trained_on(self, trial: "TrialWorker") -> dict[str, Any]:
        own: dict[str, Any] = {"only": trial.spec.garment}
        if trial.caches.prior is None:
            return own
        from fashion_sweep.training.batches import PriorPictures

        (kind,) = (one.kind for one in trial.config.sweep.garments if one.name == trial.spec.garment)
        part = Prior(trial.config, trial.caches.views, trial.config.preset.training_set)
        return own | {
            "prior": PriorPictures(trial.caches.prior, part.rows_of(kind), part.caption(kind), part.prior.weight)
        }

    def judge(self, trial: "TrialWorker") -> dict[str, Any]:
        """No evaluation set is judged."""
        from fashion_sweep.tasks.garment.judging import judge_trial

        judge_trial(trial)
        return {}

    def summary(self, trial: "TrialWorker") -> dict[str, Any]:
        from fashion_sweep.tasks.garment.judgement import summary

        return summary(trial.paths, trial.spec.garment) if trial.spec.garment else {}

    def write_report(self, run: RunPaths, seconds: Mapping[str, float] | None = None) -> None:
        from fashion_sweep.tasks.garment.report import write_garment_report

        write_garment_report(run, seconds)

    def show(self, run: RunPaths, console: Console) -> None:
        from fashion_sweep.tasks.garment.report import show_garments

        show_garments(run, console)


GARMENT = GarmentTask()
