"""Sentences on a published table: what its means allow one to say by the rule of the verdict."""

from collections.abc import Mapping, Sequence

from fashion_sweep.config.judging import Published
from fashion_sweep.metrics.metric import Metric
from fashion_sweep.report.words import in_all, joined, listed


def best_row(rows: Sequence[Published], metric: Metric) -> Published:
    pick = min if metric.better == "lower" else max
    return pick(rows, key=lambda row: row.metrics[metric.name])


def published_sentence(rows: Sequence[Published], metrics: Sequence[Metric], margins: Mapping[str, float]) -> str:
    """Says what published means alone, without the images behind them, show by the same rule; nothing of one adapter.

    metrics: those of the verdict that all rows have.
    """
    if sum(bool(row.parameters) for row in rows) < 2 or not metrics:
        return ""  # an adapter against the base model: nothing to choose
    best = {metric.name: best_row(rows, metric) for metric in metrics}

    def gap(row: Published, metric: Metric) -> float:
        return abs(row.metrics[metric.name] - best[metric.name].metrics[metric.name])

    near = [row.configuration for row in rows if all(gap(row, one) < margins[one.name] for one in metrics)]
    smallest = min(rows, key=lambda row: row.parameters or 0)
    limits = ", ".join(f"{metric.title} {margins[metric.name]:.2g}" for metric in metrics)
    text = (
        f"{listed(near)} alone {'lies' if len(near) == 1 else 'lie'} within the margins ({limits}) of the best"
        if near
        else "no row lies within the margins of the best"
    )
    text += in_all(len(metrics))
    if smallest.configuration in near:
        return f"By the published means, {text}. Without results by image, no error of a difference is known."
    behind = joined(
        [
            f"a {one.title} {one.shown(gap(smallest, one))} {'above' if one.better == 'lower' else 'below'} "
            f"{best[one.name].configuration}"
            for one in metrics
        ]
    )
    certain = [_certain(smallest, best[one.name], one, gap(smallest, one), margins) for one in metrics]
    return (
        f"By the published means, {text}; {smallest.configuration} has {behind}, so the table does not show that it is "
        "as good. Whether the differences are real it cannot say: it gives neither results by image nor repeated "
        f"trainings.{''.join(certain)}"
    )


def _certain(row: Published, best: Published, metric: Metric, gap: float, margins: Mapping[str, float]) -> str:
    """Says that a gap is certain, if it is beyond the chance of which images were drawn.
    Values from 0 to 100 have a standard deviation of at most 50, which bounds the error of any mean of them."""
    if metric.image_range is None or not row.samples or not best.samples:
        return ""
    low, high = metric.image_range
    largest_se = (high - low) / 2 * (1 / row.samples + 1 / best.samples) ** 0.5
    if gap - 1.645 * largest_se <= margins[metric.name]:
        return ""
    return (
        f" Only the {metric.title}'s gap is beyond the chance of which images were drawn: of {row.samples:,} scores "
        f"between {low:g} and {high:g} a mean cannot err enough (standard error of the gap at most {largest_se:.2f})."
    )
