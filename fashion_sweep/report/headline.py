"""The verdict of a comparison in one short sentence, for people to read first. What it rests on stands below it."""

from collections.abc import Sequence

from fashion_sweep.report.wording import MOST_NAMED, WORSE, adapter_and_base, best_in_each, closest, listed, needed
from fashion_sweep.statistics.comparison import Comparison, Measured
from fashion_sweep.statistics.selection import Verdict


def headline(comparison: Comparison, verdict: Verdict, level: float, captions: int) -> str:
    """What to take, or between which it is undecided and what would decide.

    Args:
        comparison: of the configurations on one evaluation set.
        verdict: what `decide` made of it.
        level: confidence of each statement, between 0 and 1.
        captions: how many there are to be judged at most.
    """
    if len(comparison.measured) == 1:
        return f"{comparison.measured[0].name} is alone: there is nothing to compare it to."
    if (pair := adapter_and_base(comparison)) is not None:
        return _against_the_base(comparison, *pair, level)
    if verdict.chosen is not None:
        return _take(comparison, verdict.chosen)
    worse = [one.name for one in comparison.measured if verdict.standings[one.name].shown_worse_by]
    if len(worse) == len(comparison.measured):
        sharp, apt = best_in_each(comparison)
        return f"No single best: {sharp.name} has the lowest FID, {apt.name} the highest CLIP score."
    return f"{_open(comparison, worse)} {_decided_by(comparison, verdict, captions)}"


def images_needed(comparison: Comparison, verdict: Verdict) -> int | None:
    """Images that would decide, if the differences stay as measured; None where it is decided or none would."""
    if verdict.chosen is not None or not verdict.standings or adapter_and_base(comparison) is not None:
        return None
    if all(standing.shown_worse_by for standing in verdict.standings.values()):
        return None
    return needed(comparison, verdict, [closest(comparison, verdict)])[0]


def together(names: Sequence[str]) -> str:
    """Names as a list that says once what they begin with: "UNet rank 2, 4 and 8"."""
    if len(names) > MOST_NAMED or (len(names) > 2 and any("," in name for name in names)):
        return f"{len(names)} configurations"
    heads = {name.rpartition(" ")[0] for name in names}
    if len(names) > 1 and len(heads) == 1 and all(name.rpartition(" ")[2].isdigit() for name in names):
        return f"{heads.pop()} {listed([name.rpartition(' ')[2] for name in names])}"
    return listed(names)


def _short(name: str, beside: str) -> str:
    """A name after one that differs in rank alone: "rank 64" after "UNet rank 2"."""
    head, rank, _ = name.rpartition(" rank ")
    alike = rank and beside.rpartition(" rank ")[0] == head and name.rpartition(" ")[2].isdigit()
    return name.removeprefix(f"{head} ") if alike else name


def _take(comparison: Comparison, chosen: str) -> str:
    sizes = {one.name: one.parameters for one in comparison.measured}
    largest = max(sizes, key=sizes.__getitem__)
    said = f"Take {chosen}: as good as the best of {_number(len(sizes))}"
    if not sizes[chosen]:
        return f"{said}, with no parameters."
    if sizes[chosen] < sizes[largest]:
        whose = "the largest" if (short := _short(largest, chosen)) == largest else short
        return f"{said}, with {_percent(sizes[chosen] / sizes[largest])} of {whose}'s parameters."
    if min(sizes.values()) < sizes[chosen]:
        return f"{said}; the smaller ones are not all shown to be."
    return f"{said}."


def _open(comparison: Comparison, worse: Sequence[str]) -> str:
    names = [one.name for one in comparison.measured]
    left = [name for name in names if name not in worse]
    if len(left) == 1:
        return f"Undecided: only {left[0]} is not shown to be worse, nor is it shown to be as good as the best."
    between = f"all {_number(len(names))}" if not worse and len(left) > MOST_NAMED else together(left)
    if not worse:
        return f"Undecided between {between}."
    if len(worse) == 1:
        return f"Undecided between {between}; {_short(worse[0], left[0])} is worse."
    return f"Undecided between {between}; {together(worse)} are worse."


def _decided_by(comparison: Comparison, verdict: Verdict, captions: int) -> str:
    images, seeds = needed(comparison, verdict, [closest(comparison, verdict)])
    if images is not None:
        enough = "" if images <= captions else f"; there are captions for {captions:,}"
        return f"About {images:,} images would decide{enough}."
    if seeds is not None:
        return f"About {seeds} training seeds would decide."
    once = all(len(one.fid.by_seed) == 1 for one in comparison.measured)
    return f"More images alone would not decide; more trainings of each{' (sweep.seeds=3)' * once} may."


def _against_the_base(comparison: Comparison, adapted: Measured, base: Measured, level: float) -> str:
    found: dict[str, list[str]] = {"better": [], "worse": [], "open": []}
    for metric, (name, worse) in WORSE.items():
        before, after = getattr(base, metric).value, getattr(adapted, metric).value
        low, high = comparison.difference(metric, adapted, base).within(level)
        if low <= 0 <= high:
            found["open"].append(name)
        else:
            found["worse" if (worse == "higher") == (low > 0) else "better"].append(
                f"{name} ({before:.2f} → {after:.2f})"
            )
    said = [f"{how} in {listed(found[how])}" for how in ("better", "worse") if found[how]]
    said += [f"not shown to differ in {' or '.join(found['open'])}"] if found["open"] else []
    return f"{adapted.name} against the base model: {', '.join(said)}."


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.1g} %"


def _number(count: int) -> str:
    words = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[count] if count < len(words) else str(count)
