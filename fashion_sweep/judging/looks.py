"""The looks of a race: on how many images trials are judged before it is decided which of them need more."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.planning.plan import trials_wanted

if TYPE_CHECKING:
    from fashion_sweep.statistics.rules import Rules

RACED = (0.14, 0.55)
"""The least and the most of all images that races took on average in replays of embedded runs of `exp2`, where rank 1
came out as good as the best, and where it was worse by about the margin (docs/measured-races.md)."""


def rules_of(config: RunConfig, name: str) -> "Rules":
    """Returns the rules of the race on an evaluation set."""
    from fashion_sweep.statistics.rules import Rules  # imports SciPy, which takes most of a second

    choice = config.sweep.choose
    return Rules(looks_of(config, name), entrants(config), choice.level, choice.indifference, choice.budget.images)


def entrants(config: RunConfig) -> int:
    """Returns the number of configurations that there will be, at most."""
    return trials_wanted(config) or len({spec.configuration for spec in config.specs})


def looks_of(config: RunConfig, name: str) -> tuple[int, ...]:
    """Returns the images of a trial at each look at an evaluation set.

    The last has them all. Those before it have half as many each, down to what the metrics need; they end with a
    batch.
    """
    choice, samples, batch = config.sweep.choose, config.preset.evaluation.samples, config.preset.generation.batch_size
    if not choice.race or entrants(config) < 2:
        return (samples,)
    looks, evaluation = choice.looks, config.preset.evaluation
    least = max(
        *(one.images_to_compare(evaluation) for one in metrics_of(config.sweep.judge[name])),
        *(one.least_images(evaluation) for one in metrics_of(config.sweep.metrics_on(name))),
    )
    if looks is None:
        halvings = range(samples.bit_length())
        looks = [samples >> halving for halving in halvings if samples >> halving >= least]
    whole = {-(-images // batch) * batch for images in looks}
    return (*sorted(images for images in whole if images < samples), samples)


def at_first_look(judged: Mapping[str, Any]) -> dict[str, float]:
    """Returns the metrics of an evaluation in `result.json` as its first look had them, less their bias.

    Of all trials they are from as many images, however far each has come in the race.
    """
    looks = judged.get("looks") or {}
    return dict(looks[min(looks, key=int)]) if looks else {}


def race_shares(config: RunConfig) -> tuple[float, float] | None:
    """Returns which share of all images a race is likely to take, from and to; None where all are judged anyway."""
    looks = [looks_of(config, name) for name in config.sweep.judge]
    if not looks or all(len(one) == 1 for one in looks):
        return None
    least = sum(one[0] for one in looks) / sum(one[-1] for one in looks)
    return max(RACED[0], least), max(RACED[1], least)
