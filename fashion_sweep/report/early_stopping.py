"""Checks whether the loss by which a search stops trials foretells what they are judged by."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fashion_sweep.metrics.metric import Metric, metrics_of
from fashion_sweep.report.results import Results, TrialResult, number
from fashion_sweep.report.tables import Table
from fashion_sweep.report.words import GAP
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json_lines

LOW = 0.5
FEW = 5


@dataclass(frozen=True)
class Rung:
    step: int
    trials: int
    """The number of trials that were judged and had a loss at this step."""
    correlation: float | None
    """Spearman's correlation of the loss and the objective, both as lower-is-better; None where it is not defined."""

    @property
    def is_low(self) -> bool:
        return self.correlation is None or self.correlation < LOW


def rungs(run: RunPaths, results: Results) -> list[Rung]:
    """Returns a rung for each step at which the run's search stops trials; none where it does not."""
    search = results.config.sweep.search
    if search is None or search.stop_early is None:
        return []
    stop, metric = search.stop_early, _judged_by(results)
    judged = [
        trial for trial in results.trials if trial.state == "done" and math.isfinite(_rank(trial, results, metric))
    ]
    steps = max((trial.steps or 0 for trial in judged), default=0)
    curves = {trial.spec: read_json_lines(run.trial(trial.spec.trial_id).metrics) for trial in judged}
    reached = []
    for step in stop.rungs(steps):
        losses = {trial.spec: _loss_at(curves[trial.spec], step, stop.metric) for trial in judged}
        pairs = [(loss, _rank(trial, results, metric)) for trial in judged if (loss := losses[trial.spec]) is not None]
        reached.append(Rung(step, len(pairs), _spearman(pairs)))
    return reached


def rung_table(run: RunPaths, results: Results) -> Table | None:
    """Makes the table of correlations, with a warning where stopping early may have stopped the wrong trials."""
    if not (all_rungs := rungs(run, results)):
        return None
    rows = [
        (f"step {rung.step}", str(rung.trials), GAP if rung.correlation is None else f"{rung.correlation:.2f}")
        for rung in all_rungs
    ]
    name = _judged_by(results).title
    caption = f"Of the trials that were judged; 1: those with the lower val_loss at this step had the better {name}."
    if any(rung.trials < FEW for rung in all_rungs):
        caption += f" Warning: fewer than {FEW} trials say little."
    if any(rung.is_low and rung.trials >= FEW for rung in all_rungs):
        caption += (
            f" Warning: below {LOW:g}, val_loss does not foretell {name}, and trials may have been stopped wrongly; "
            "set larger grace_steps, or stop_early: null."
        )
    return Table(
        f"Rank correlation of early val_loss with final {name}", ("at", "trials", "Spearman"), tuple(rows), caption
    )


def _judged_by(results: Results) -> Metric:
    """Returns the first objective that training can move."""
    sweep = results.config.sweep
    assert sweep.search is not None
    moved = [name for name in sweep.search.objectives if name != "parameters"]
    return metrics_of([(moved or sweep.judge[sweep.first_judged])[0]])[0]


def _rank(trial: TrialResult, results: Results, metric: Metric) -> float:
    """Returns a number that is smaller for better values at the first look; infinite where there is none."""
    value = trial.on(results.config.sweep.first_judged).at_first_look.get(metric.name, math.inf)
    return -value if metric.better == "higher" and math.isfinite(value) else value


def _loss_at(lines: Sequence[dict[str, Any]], step: int, metric: str) -> float | None:
    """Returns the loss at the first report from this step on, as the search saw it."""
    return next((number(line.get(metric)) for line in lines if line["step"] >= step and metric in line), None)


def _spearman(pairs: Sequence[tuple[float, float]]) -> float | None:
    from scipy.stats import spearmanr

    losses, values = zip(*pairs, strict=True) if pairs else ((), ())
    if len(set(losses)) < 2 or len(set(values)) < 2:  # of fewer it is not defined
        return None
    correlation = float(spearmanr(losses, values).statistic)
    return correlation if math.isfinite(correlation) else None
