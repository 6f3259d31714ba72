"""The verdict of a race in a sentence that a reader can repeat."""

from collections.abc import Sequence

from fashion_sweep.metrics.metric import Metric
from fashion_sweep.report.finding import Finding, Needed
from fashion_sweep.report.verdict_headline import minutes
from fashion_sweep.report.words import in_all, joined, listed, number_word
from fashion_sweep.statistics.bounds import Bound
from fashion_sweep.statistics.comparison import Measured
from fashion_sweep.statistics.race import Race


def sentence(finding: Finding, evaluation_set: str) -> str:
    """Says what is shown, what is not, and what would decide it."""
    words = {
        "alone": _alone,
        "against the base": _against_the_base,
        "chosen": _decided,
        "no single best": _no_single_best,
        "undecided": _undecided,
    }
    return words[finding.kind](finding, evaluation_set)


def basis(race: Race) -> str:
    """Says what the sentence rests on."""
    seeds = {one.seeds for one in race.measured if one.parameters}
    fewest, most = min(race.images.values()), max(race.images.values())
    each = f"{most:,} images each" if fewest == most else f"{fewest:,} to {most:,} images each"
    looks = "" if len(race.rules.looks) == 1 else f", after any of {number_word(len(race.rules.looks))} looks"
    parts = [f"{each} on common prompts and noise{looks}"]
    for metric in race.metrics:
        if metric.is_biased:
            rough = any(one.metrics[metric.name].bias_is_rough for one in race.measured)
            rest = ", of which some stays at so few prompts" if rough else ""
            parts.append(f"{metric.title} less its expected bias{rest}")
    if seeds == {1}:
        parts.append("one training each, so what another training seed would change is not in these bounds")
    elif seeds:
        trained = listed(sorted(map(str, seeds)))
        parts.append(f"{trained} training seeds each, whose spread is taken as alike for all")
    return f"{'; '.join(parts)}."


def _alone(finding: Finding, evaluation_set: str) -> str:
    (one,) = finding.race.measured
    values = []
    for metric in finding.race.metrics:
        estimate = finding.race.estimate(metric, one)
        low, high = map(metric.shown, estimate.within(0.95))
        values.append(f"{metric.title} {metric.shown(estimate.value)} ({low} to {high})")
    return f"{one.name} has {joined(values)} on {evaluation_set}, with nothing to compare it to."


def _decided(finding: Finding, evaluation_set: str) -> str:
    race = finding.race
    chosen = race.chosen
    assert chosen is not None
    sizes = {one.name: one.parameters for one in race.measured}
    smaller = sorted((name for name in sizes if sizes[name] < sizes[chosen]), key=sizes.__getitem__)
    worse = [name for name in smaller if name in race.out]
    unclear = [name for name in smaller if name not in worse]
    text = (
        f"{chosen} is the smallest configuration shown to be as good as the best on {evaluation_set} "
        f"({_within(finding)})"
    )
    if worse:
        text += f"; {_shown_worse(finding, worse)}"
    if unclear:
        decide_by = _would_decide(finding, finding.to_be_settled(unclear), unclear)
        text += (
            f"; {listed(unclear)} {'is' if len(unclear) == 1 else 'are'} not shown to be, nor to be worse{decide_by}"
        )
    return f"{text}."


def _undecided(finding: Finding, evaluation_set: str) -> str:
    nearest = finding.closest
    text = f"no configuration is shown to be as good as the best; {nearest} comes closest"
    shown = f"; {_shown_worse(finding, finding.race.out)}" if finding.race.out else ""
    bound = finding.race.bounds_of[nearest].worst
    return (
        f"Undecided on {evaluation_set}: {text} ({_within(finding)}): {_stands_in_the_way(bound)}"
        f"{_would_decide(finding, finding.to_be_good(nearest), [nearest])}. So far {_leads(finding.race)}{shown}."
    )


def _no_single_best(finding: Finding, evaluation_set: str) -> str:
    """Says that each is worse than some other in one of the metrics: no more images would find a best one."""
    metrics = finding.race.metrics
    numbers = "both numbers" if len(metrics) == 2 else f"all {number_word(len(metrics))} numbers"
    best = [
        f"the {one.extreme} {one.title} {'is ' * (one is metrics[0])}that of {_in_all(finding, one)}" for one in metrics
    ]
    return (
        f"No configuration is as good as the best in {numbers} on {evaluation_set} ({_within(finding)}), and that is "
        f"shown: {', '.join(best)}. Which of the {number_word(len(metrics))} matters more is for you to say."
    )


def _in_all(finding: Finding, metric: Metric) -> str:
    """Names the best in a metric, with its value there and then in the others."""
    best = finding.race.best_in(metric)
    others = [one for one in finding.race.metrics if one is not metric]
    values = [_value(metric, best), *(f"{one.title} {_value(one, best)}" for one in others)]
    return f"{best.name} ({', '.join(values)})"


def _leads(race: Race) -> str:
    first, *others = race.metrics
    best = race.best_in(first)
    values = [f"{metric.title} {_value(metric, best)}" for metric in others]
    if others and all(race.best_in(metric) is best for metric in others):
        in_each = joined([f"{first.title} {_value(first, best)}", *values])
        return f"{best.name} leads{in_all(len(values) + 1)}, with {in_each}"
    return f"{best.name} has the {first.extreme} {joined([f'{first.title}, {_value(first, best)}', *values])}"


def _value(metric: Metric, measured: Measured) -> str:
    return metric.shown(measured.metrics[metric.name].shown)


def _within(finding: Finding) -> str:
    margins = finding.race.margins
    parts = [f"{one.title} within {margins.by_metric[one.name]:.2g}" for one in finding.race.metrics]
    return ", ".join([*parts, f"{margins.level:.0%} confidence"])


def _shown_worse(finding: Finding, names: Sequence[str]) -> str:
    """Says which are shown to be worse, with the rival and the number by which it is shown, where there are few."""
    if len(names) > 2:
        return f"{listed(names)} are shown to be worse"
    bounds = [(name, finding.race.bounds_of[name].shown_worse_by) for name in names]
    return listed(
        [f"{name} is shown to be worse than {one.rival} in {one.metric.title}" for name, one in bounds if one]
    )


def _stands_in_the_way(bound: Bound) -> str:
    metric, value = bound.metric, bound.worse_by.value
    reach = metric.shown(bound.at_most)
    measured = f"{metric.shown(abs(value))} {metric.worse if value >= 0 else metric.better}"
    return f"its {metric.title} may be up to {reach} {metric.worse} than that of {bound.rival} (measured: {measured})"


def _would_decide(finding: Finding, needed: Needed, names: Sequence[str]) -> str:
    """Says what it would take for all of `names`, if the differences stay as they are."""
    images = max(finding.race.images[name] for name in names)
    if needed.images is not None:
        instead = f"{needed.images:,} images instead of {images:,}"
        if needed.images > finding.captions:  # from there on they repeat prompts, and tell less
            return f"; of the {finding.captions:,} captions at least {instead} would be needed{minutes(needed)}"
        return f"; about {instead} would decide it{minutes(needed)}"
    if needed.seeds is not None:
        return f"; about {needed.seeds} training seeds instead of {finding.seeds} would decide it"
    if any(finding.race.bounds_of[name].images_needed() for name in names):
        return ""
    return "; more images would not help it, for the difference as measured is beyond the margin"


def _against_the_base(finding: Finding, evaluation_set: str) -> str:
    adapted, base = finding.adapter_and_base
    moved = []
    for metric in finding.race.metrics:
        moved.append(_moved(finding, metric, base, adapted))
    return f"Against the base model, {adapted.name} {joined(moved)} on {evaluation_set}."


def _moved(finding: Finding, metric: Metric, base: Measured, adapted: Measured) -> str:
    race, sign = finding.race, 1 if metric.better == "lower" else -1
    difference = sign * race.worse_by(metric, adapted, base).value
    low, high = sorted(sign * bound for bound in race.worse_within(metric, adapted.name, base.name))
    change, least, most = (metric.shown(value, "+") for value in (difference, low, high))
    values = f"from {_value(metric, base)} to {_value(metric, adapted)} (difference {change}, {least} to {most})"
    if low <= 0 <= high:
        return f"is not shown to change the {metric.title}, {values}"
    return f"{'raises' if low > 0 else 'lowers'} the {metric.title} {values}"
