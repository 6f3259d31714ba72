"""The verdict of a comparison in a sentence that a reader can repeat."""

from collections.abc import Sequence

from fashion_sweep.config.sweep import Published
from fashion_sweep.statistics.comparison import Comparison, Difference, Measured
from fashion_sweep.statistics.selection import Margins, Obstacle, Verdict, most

MOST_NAMED = 4
FEW_PER_DIMENSION = 10
"""Images a feature dimension; below, C/n falls short of the bias by a few per cent of the FID in simulation."""
WORSE = {"fid": ("FID", "higher"), "clip_score": ("CLIP score", "lower")}


def sentence(comparison: Comparison, margins: Margins, verdict: Verdict, evaluation_set: str, captions: int) -> str:
    """What is shown, what is not, and what would decide it. captions: how many there are to be judged at most."""
    if len(comparison.measured) == 1:
        said = _alone(comparison, evaluation_set)
    elif (pair := adapter_and_base(comparison)) is not None:
        said = _against_the_base(comparison, *pair, margins.level, evaluation_set)
    elif verdict.chosen is None:
        said = _undecided(comparison, margins, verdict, evaluation_set, captions)
    else:
        said = _decided(comparison, margins, verdict, evaluation_set, captions)
    return said


def _alone(comparison: Comparison, evaluation_set: str) -> str:
    (one,) = comparison.measured
    told = []
    for metric, (name, _) in WORSE.items():
        estimate = comparison.estimate(metric, one)
        low, high = estimate.within(0.95)
        told.append(f"{name} {estimate.value:.2f} ({low:.2f} to {high:.2f})")
    return f"{one.name} has {' and '.join(told)} on {evaluation_set}, with nothing to compare it to."


def within(margins: Margins) -> str:
    return f"FID within {margins.fid:.2g}, CLIP score within {margins.clip_score:.2g}, {margins.level:.0%} confidence"


def listed(names: Sequence[str]) -> str:
    """In words; of more than `MOST_NAMED` only their number."""
    if len(names) > MOST_NAMED:
        return f"{len(names)} configurations"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _decided(comparison: Comparison, margins: Margins, verdict: Verdict, evaluation_set: str, captions: int) -> str:
    chosen = verdict.chosen
    assert chosen is not None
    sizes = {one.name: one.parameters for one in comparison.measured}
    smaller = sorted((name for name in sizes if sizes[name] < sizes[chosen]), key=sizes.__getitem__)
    worse = [name for name in smaller if verdict.standings[name].shown_worse_by]
    passing = [name for name in smaller if verdict.standings[name].is_good]
    unclear = [name for name in smaller if name not in worse and name not in passing]
    said = f"{chosen} is the smallest configuration that is as good as the best on {evaluation_set} ({within(margins)})"
    if worse:
        said += f"; {_shown_worse(verdict, worse)}"
    if unclear:
        decide_by = _would_decide(comparison, verdict, unclear, captions)
        said += f"; {listed(unclear)} {_are(unclear)} not shown to be as good{decide_by}"
    if passing:
        said += (
            f"; {listed(passing)} would pass, but {'comes' if len(passing) == 1 else 'come'} after one that does not"
        )
    return f"{said}."


def _undecided(comparison: Comparison, margins: Margins, verdict: Verdict, evaluation_set: str, captions: int) -> str:
    sizes = {one.name: one.parameters for one in comparison.measured}
    worse = [name for name in sizes if verdict.standings[name].shown_worse_by]
    if len(worse) == len(sizes):
        return _torn(comparison, margins, evaluation_set)
    nearest = closest(comparison, verdict)
    if verdict.along_an_axis:
        said = f"not even {nearest}, the largest, is shown to be as good as the best"
    else:
        said = f"no configuration is shown to be as good as the best; {nearest} comes closest"
    shown = f"; {_shown_worse(verdict, worse)}" if worse else ""
    obstacle = verdict.standings[nearest].worst
    return (
        f"Undecided on {evaluation_set}: {said} ({within(margins)}): {_stands_in_the_way(obstacle)}"
        f"{_would_decide(comparison, verdict, [nearest], captions)}. "
        f"So far {_leads(comparison)}{shown}."
    )


def closest(comparison: Comparison, verdict: Verdict) -> str:
    """The one that has to be shown to be good first: along an axis the largest, which is tested first; else the one
    that the fewest images more would show to be, or, where no number would, the one nearest to it."""
    if verdict.along_an_axis:
        return max(comparison.measured, key=lambda one: one.parameters).name
    images = len(comparison.prompts)
    open_ones = {name: one for name, one in verdict.standings.items() if not one.shown_worse_by}
    needed = {name: count for name, one in open_ones.items() if (count := one.images_needed(images))}
    if needed:
        return min(needed, key=needed.__getitem__)
    return max(open_ones, key=lambda name: open_ones[name].worst.slack)


def _torn(comparison: Comparison, margins: Margins, evaluation_set: str) -> str:
    """Each is shown to be worse than some other in one of the two numbers: no more images would find a best one."""
    sharp, apt = best_in_each(comparison)
    best_fid = f"{sharp.name} ({sharp.fid.value:.2f}, CLIP score {sharp.clip_score.value:.2f})"
    best_clip_score = f"{apt.name} ({apt.clip_score.value:.2f}, FID {apt.fid.value:.2f})"
    return (
        f"No configuration is as good as the best in both numbers on {evaluation_set} ({within(margins)}), and that is "
        f"shown: the lowest FID is that of {best_fid}, the highest CLIP score that of {best_clip_score}. Which of the "
        "two matters more is for you to say."
    )


def _leads(comparison: Comparison) -> str:
    sharp, apt = best_in_each(comparison)
    leads = "leads in both, with FID" if sharp is apt else "has the lowest FID,"
    return f"{sharp.name} {leads} {sharp.fid.value:.2f} and CLIP score {sharp.clip_score.value:.2f}"


def _shown_worse(verdict: Verdict, names: Sequence[str]) -> str:
    """With the rival and the number by which it is shown, where there are few."""
    if len(names) > 2:
        return f"{listed(names)} are shown to be worse"
    found = [(name, verdict.standings[name].shown_worse_by) for name in names]
    told = [f"{name} is shown to be worse than {one.rival} in {WORSE[one.metric][0]}" for name, one in found if one]
    return listed(told)


def best_in_each(comparison: Comparison) -> tuple[Measured, Measured]:
    """In FID and in CLIP score."""
    return (
        min(comparison.measured, key=lambda one: one.fid.value),
        max(comparison.measured, key=lambda one: one.clip_score.value),
    )


def _stands_in_the_way(obstacle: Obstacle) -> str:
    metric, worse = WORSE[obstacle.metric]
    value = obstacle.worse_by.value
    bound = value + obstacle.quantile * obstacle.worse_by.se
    other = {"higher": "lower", "lower": "higher"}[worse]
    measured = f"{abs(value):.2f} {worse if value >= 0 else other}"
    return f"its {metric} may be up to {bound:.2f} {worse} than that of {obstacle.rival} (measured: {measured})"


def needed(comparison: Comparison, verdict: Verdict, names: Sequence[str]) -> tuple[int | None, int | None]:
    """Images and training seeds that would show all of `names` to be good, if the differences stay as measured.

    Either is None where no number of them would do alone; images, which are tried first, have two digits.
    """
    images, seeds = len(comparison.prompts), min(len(one.fid.by_seed) for one in comparison.measured if one.parameters)
    standings = [verdict.standings[name] for name in names]
    counts = [standing.images_needed(images) for standing in standings]
    trainings = [standing.seeds_needed(seeds) for standing in standings]
    found = most(counts)
    return None if found is None else _rounded(found), most(trainings)


def _would_decide(comparison: Comparison, verdict: Verdict, names: Sequence[str], captions: int) -> str:
    """What it would take for all of `names`, if the differences stay as they are."""
    images, seeds = needed(comparison, verdict, names)
    if images is not None:
        enough = "" if images <= captions else f", more than the {captions:,} captions there are"
        return f"; about {images:,} images instead of {len(comparison.prompts):,} would decide it{enough}"
    if seeds is not None:
        before = min(len(one.fid.by_seed) for one in comparison.measured if one.parameters)
        return f"; about {seeds} training seeds instead of {before} would decide it"
    if any(verdict.standings[name].images_needed(len(comparison.prompts)) for name in names):
        return ""
    return "; more images would not help it, for the difference as measured is beyond the margin"


def _rounded(count: int) -> int:
    """Two digits, upwards: it is an estimate."""
    step = 10 ** max(len(str(count)) - 2, 0)
    return -(-count // step) * step


def adapter_and_base(comparison: Comparison) -> tuple[Measured, Measured] | None:
    """The only adapter and the base model, where these two are all."""
    adapted = [one for one in comparison.measured if one.parameters]
    base = [one for one in comparison.measured if not one.parameters]
    return (adapted[0], base[0]) if len(adapted) == len(base) == 1 else None


def _against_the_base(
    comparison: Comparison, adapted: Measured, base: Measured, level: float, evaluation_set: str
) -> str:
    moved = []
    for metric, (name, _) in WORSE.items():
        before, after = getattr(base, metric).value, getattr(adapted, metric).value
        moved.append(_moved(name, before, after, comparison.difference(metric, adapted, base), level))
    return f"Against the base model, {adapted.name} {' and '.join(moved)} on {evaluation_set}."


def _moved(metric: str, before: float, after: float, difference: Difference, level: float) -> str:
    low, high = difference.within(level)
    shown = f"from {before:.2f} to {after:.2f} (difference {difference.value:+.2f}, {low:+.2f} to {high:+.2f})"
    if low <= 0 <= high:
        return f"is not shown to change the {metric}, {shown}"
    return f"{'raises' if difference.value > 0 else 'lowers'} the {metric} {shown}"


def basis(comparison: Comparison) -> str:
    """What the sentence rests on."""
    seeds = {len(one.fid.by_seed) for one in comparison.measured if one.parameters}
    trained = (
        "one training each, so what another training seed would change is not in these bounds"
        if seeds == {1}
        else f"{listed(sorted(map(str, seeds)))} training seeds each, whose spread is taken as alike for all"
    )
    images, dimension = len(comparison.prompts), comparison.dimension
    rest = ", of which some stays at so few images" if images < FEW_PER_DIMENSION * dimension else ""
    return f"{images:,} images each on common prompts and noise; FID less its expected bias{rest}; {trained}."


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def published_sentence(rows: Sequence[Published], margins: Margins) -> str:
    """What published means alone, without the images behind them, say of the same rule; nothing of one adapter."""
    if sum(bool(row.parameters) for row in rows) < 2:
        return ""  # an adapter against the base model: nothing to choose
    best_fid, best_clip = min(rows, key=lambda row: row.fid), max(rows, key=lambda row: row.clip_score)
    near = [
        row.configuration
        for row in rows
        if row.fid - best_fid.fid < margins.fid and best_clip.clip_score - row.clip_score < margins.clip_score
    ]
    smallest = min(rows, key=lambda row: row.parameters or 0)
    said = (
        f"{listed(near)} alone {'lies' if len(near) == 1 else 'lie'} within the margins (FID {margins.fid:.2g}, "
        f"CLIP score {margins.clip_score:.2g}) of the best in both"
        if near
        else "no row lies within the margins of the best in both"
    )
    if smallest.configuration in near:
        return f"By the published means, {said}. Without results by image, no error of a difference is known."
    behind = (
        f"{smallest.configuration} has a FID {smallest.fid - best_fid.fid:.2f} above {best_fid.configuration} and a "
        f"CLIP score {best_clip.clip_score - smallest.clip_score:.2f} below {best_clip.configuration}"
    )
    return (
        f"By the published means, {said}; {behind}, so the table does not show that it is as good. Whether the "
        f"differences are real it cannot say: it gives neither results by image nor repeated trainings."
        f"{_certain(smallest, best_clip, margins)}"
    )


def _certain(row: Published, best: Published, margins: Margins) -> str:
    """Scores from 0 to 100 have a standard deviation of at most 50, which bounds the error of any mean of them."""
    gap = best.clip_score - row.clip_score
    if not row.samples or not best.samples:
        return ""
    largest_se = 50 * (1 / row.samples + 1 / best.samples) ** 0.5
    if gap - 1.645 * largest_se <= margins.clip_score:
        return ""
    return (
        f" Only the CLIP score's gap is beyond the chance of which images were drawn: of {row.samples:,} scores "
        f"between 0 and 100 a mean cannot err enough (standard error of the gap at most {largest_se:.2f})."
    )
