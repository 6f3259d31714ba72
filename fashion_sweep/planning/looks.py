"""The looks of a race: on how many images trials are judged before it is decided which of them need more."""

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.planning.plan import trials_wanted
from fashion_sweep.statistics.rules import Rules


def rules_of(config: RunConfig, name: str) -> Rules:
    """Returns the rules of the race on an evaluation set."""
    choice = config.sweep.choose
    return Rules(looks_of(config, name), entrants(config), choice.level, choice.indifference, choice.budget.images)


def entrants(config: RunConfig) -> int:
    """Returns the number of configurations that there will be, at most."""
    return trials_wanted(config) or len({spec.configuration for spec in config.specs})


def looks_of(config: RunConfig, name: str) -> tuple[int, ...]:
    """Returns the images of a trial at each look at an evaluation set.

    The last has them all. Those before it have half as many each, down to what the metrics of the verdict need; they
    end with a batch.
    """
    choice, samples, batch = config.sweep.choose, config.preset.evaluation.samples, config.preset.generation.batch_size
    if not choice.race or entrants(config) < 2:
        return (samples,)
    least = max(one.images_to_compare(config.preset.evaluation) for one in metrics_of(config.sweep.judge[name]))
    looks = choice.looks
    if looks is None:
        halvings = range(samples.bit_length())
        looks = [samples >> halving for halving in halvings if samples >> halving >= least]
    whole = {-(-images // batch) * batch for images in looks}
    return (*sorted(images for images in whole if images < samples), samples)
