"""The race in the report: how each configuration stands, on how many images, and why it got no more."""

from fashion_sweep.metrics.metric import metrics_of
from fashion_sweep.report.tables import Table
from fashion_sweep.report.verdict import Verdict
from fashion_sweep.report.words import GAP

ENDS = {
    "decided": "It ended as soon as the verdict was decided",
    "all images": "It ended when all images were judged that could have decided more",
    "budget": "It ended at its budget",
    None: "It goes on",
}


def race_table(verdict: Verdict, judged: int) -> Table:
    """Makes a table of one row a configuration, with its images and why it got no more.

    judged: the images of all trials, also those that no look has used.
    """
    rows = [
        (title, one.state, one.why, f"{one.images:,}", _worse_by(verdict, title))
        for title, one in verdict.standings.items()
    ]
    share = verdict.images_drawn / verdict.images_in_all
    caption = (
        f"{ENDS[verdict.end]}: {verdict.images_drawn:,} images, {share:.0%} of the {verdict.images_in_all:,} that all "
        f"configurations on all images would be. {_unused(judged - verdict.images_drawn)}What is said here holds all "
        f"together with {verdict.margins.level:.0%} confidence, over all looks."
    )
    columns = ("configuration", "is", "why", "images", "worse than its strongest rival by")
    return Table(f"The race on {verdict.evaluation_set}", columns, tuple(rows), caption, text_columns=3)


def _unused(images: int) -> str:
    return f"{images:,} more were judged before it was known that nothing hangs on them. " if images > 0 else ""


def _worse_by(verdict: Verdict, title: str) -> str:
    one = verdict.standings[title]
    if one.worse_by is None:
        return GAP
    (metric,) = metrics_of([one.metric])
    margin, digits = verdict.margins.by_metric.get(metric.name, 0.0), metric.digits
    if any(f"{bound:.{digits}f}" == f"{margin:.{digits}f}" for bound in one.worse_by):
        digits += 1  # so that what keeps the margin is seen to
    value, low, high = (f"{bound:.{digits}f}" for bound in one.worse_by)
    shared = "" if one.on == one.images else f", on {one.on:,} images"
    return f"{metric.title} {value} ({low} to {high}) than {one.rival}{shared}"
