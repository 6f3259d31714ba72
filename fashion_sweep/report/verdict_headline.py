"""The verdict of a race in one short sentence, for people to read first. What it rests on stands below it."""

from collections.abc import Sequence

from fashion_sweep.report.finding import Finding, Needed
from fashion_sweep.report.tables import duration
from fashion_sweep.report.words import MOST_NAMED, listed, number_word

WORTH_SAYING = 0.9
"""The share of the largest below which a size is news."""


def headline(finding: Finding, is_over: bool = True) -> str:
    """Says what to take, or between which it is undecided and what would decide.

    is_over: whether the run is; before that it tells nobody what to take.
    """
    if finding.kind == "alone":
        return f"There is nothing to compare {finding.race.measured[0].name} to."
    if finding.kind == "against the base":
        return _against_the_base(finding)
    if finding.kind == "chosen":
        return _take(finding, is_over)
    if finding.kind == "no single best":
        metrics = finding.race.metrics
        best = [f"the {metric.extreme} {metric.title}" for metric in metrics]
        names = [finding.race.best_in(metric).name for metric in metrics]
        leads = [f"{name} {what}" for name, what in zip(names[1:], best[1:], strict=True)]
        return f"No single best: {', '.join([f'{names[0]} has {best[0]}', *leads])}."
    return f"{_open(finding)} {_decided_by(finding)}"


def together(names: Sequence[str]) -> str:
    """Writes names as a list that says once what they begin with: "UNet rank 2, 4 and 8"."""
    if len(names) > MOST_NAMED or (len(names) > 2 and any("," in name for name in names)):
        return f"{len(names)} configurations"
    heads = {name.rpartition(" ")[0] for name in names}
    if len(names) > 1 and len(heads) == 1 and all(name.rpartition(" ")[2].isdigit() for name in names):
        return f"{heads.pop()} {listed([name.rpartition(' ')[2] for name in names])}"
    return listed(names)


def minutes(needed: Needed) -> str:
    """Says how long it takes to draw what is needed, where that is known."""
    return "" if needed.minutes is None else f", some {duration(60 * needed.minutes)} more of a lane here"


def _short(name: str, beside: str) -> str:
    """Shortens a name after one that differs in rank alone: "rank 64" after "UNet rank 2"."""
    head, rank, _ = name.rpartition(" rank ")
    alike = rank and beside.rpartition(" rank ")[0] == head and name.rpartition(" ")[2].isdigit()
    return name.removeprefix(f"{head} ") if alike else name


def _take(finding: Finding, is_over: bool) -> str:
    chosen = finding.race.chosen
    assert chosen is not None
    sizes = {one.name: one.parameters for one in finding.race.measured}
    largest = max(sizes, key=sizes.__getitem__)
    take = f"Take {chosen}:" if is_over else f"{chosen} is"
    take += f" as good as the best of {number_word(len(sizes))}"
    if not sizes[chosen]:
        return f"{take}, with no parameters."
    if sizes[chosen] < WORTH_SAYING * sizes[largest]:
        whose = "the largest" if (short := _short(largest, chosen)) == largest else short
        take += f", {_percent(1 - sizes[chosen] / sizes[largest])} fewer parameters than {whose}"
    smaller = [name for name, size in sizes.items() if size < sizes[chosen]]
    if not all(name in finding.race.out for name in smaller):
        rest = "the smaller one may be, too" if len(smaller) == 1 else "a smaller one may be, too"
        return f"{take}; {rest}."
    return f"{take}."


def _open(finding: Finding) -> str:
    names, worse = [one.name for one in finding.race.measured], finding.race.out
    left = [name for name in names if name not in worse]
    if len(left) == 1:
        return f"Undecided: only {left[0]} is not shown to be worse, nor is it shown to be as good as the best."
    between = f"all {number_word(len(names))}" if not worse and len(left) > MOST_NAMED else together(left)
    if not worse:
        return f"Undecided between {between}."
    if len(worse) == 1:
        return f"Undecided between {between}; {_short(worse[0], left[0])} is worse."
    return f"Undecided between {between}; {together(worse)} are worse."


def _decided_by(finding: Finding) -> str:
    needed = finding.to_be_good(finding.closest)
    if needed.images is not None:
        if needed.images > finding.captions:  # from there on they repeat prompts, and tell less
            more = f"At least {needed.images:,} images would be needed{minutes(needed)}"
            return f"{more}; there are captions for {finding.captions:,}."
        return f"About {needed.images:,} images would decide{minutes(needed)}."
    if needed.seeds is not None:
        return f"About {needed.seeds} training seeds would decide."
    once = all(one.seeds == 1 for one in finding.race.measured)
    return f"More images alone may not decide; more trainings of each{' (sweep.seeds=3)' * once} may."


def _against_the_base(finding: Finding) -> str:
    adapted, base = finding.adapter_and_base
    better, worse, unclear = list[str](), list[str](), list[str]()
    for metric in finding.race.metrics:
        before, after = (metric.shown(one.metrics[metric.name].shown) for one in (base, adapted))
        low, high = finding.race.worse_within(metric, adapted.name, base.name)
        if low <= 0 <= high:
            unclear.append(metric.title)
        else:
            (worse if low > 0 else better).append(f"{metric.title} ({before} → {after})")
    parts = [f"{how} in {listed(moved)}" for how, moved in (("better", better), ("worse", worse)) if moved]
    parts += [f"not shown to differ in {' or '.join(unclear)}"] if unclear else []
    return f"Against the base model {adapted.name} is {', '.join(parts)}."


def _percent(share: float) -> str:
    """Writes a share; one of nearly all with as many digits as tell it from all."""
    digits = next((digits for digits in range(4) if round(100 * share, digits) < 100), 4)
    return f"{100 * share:.{digits}f} %"
