"""Writes the model card of a garment's adapter: how close its pictures come to the photo."""

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.handover.task_card import TaskCard
from fashion_sweep.report.results import TrialResult
from fashion_sweep.report.words import GAP
from fashion_sweep.tasks.garment.recipe import caption_of, prompts_of, recipe_of


def card_of(config: RunConfig, trial: TrialResult) -> TaskCard:
    """Returns the card of a trial that trained one garment's adapter."""
    recipe = recipe_of(config.preset)
    garment = next(one for one in config.sweep.garments if one.name == trial.spec.item)
    scores = trial.summary
    text = f"Its pictures score {_number(scores.get('closeness'))} of 100, the mean over prompts and seeds; "
    text += f"their colour is {_number(scores.get('colour_delta_e'))} ΔE from the photo's."
    if "identified" in scores:
        text += f" {scores['identified']:.0%} of them come closer to it than to any other photo of the run."
    prompt = prompts_of(recipe, garment)[0]
    return TaskCard({"Closeness to its photo": [text]}, prompt, caption_of(recipe, garment), has_words=True)


def _number(value: float | None) -> str:
    return GAP if value is None else f"{value:.2f}"
