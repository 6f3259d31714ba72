"""A run's numbers as CSV: one row a trial."""

from collections.abc import Mapping, Sequence
from typing import Any

from fashion_sweep.config.adapter_columns import adapter_columns, adapter_value, placements_of
from fashion_sweep.config.training_axes import TRAINING_AXES
from fashion_sweep.report.results import Results, TrialResult
from fashion_sweep.report.verdict import Verdicts
from fashion_sweep.storage.files import as_csv

JUDGED = ("samples", "features", "clip_model")


def results_csv(results: Results, verdicts: Verdicts) -> str:
    """Writes a run's numbers as CSV; what is not known is empty.

    `…_corrected` (less its bias, as tables show it) and the 95 % intervals are those of the configuration, which all
    its replicates share, on its `…images_in_verdict`; the plain values are on all `…samples` of the trial. A component
    without an adapter has 0; training values are those the trial was trained with.
    """
    return table_csv(trial_rows(results, list(results.config.sweep.judge), verdicts))


def trial_rows(results: Results, names: Sequence[str], verdicts: Verdicts) -> list[dict[str, Any]]:
    """Returns a row for each trial; columns of the evaluation sets `names` begin with their name."""
    columns = adapter_columns(results.config)
    return [_row(results, trial, columns, names, verdicts) for trial in results.trials]


def table_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Writes rows as CSV; a column that only some of them have is empty in the others."""
    columns: list[str] = []
    for names in dict.fromkeys(tuple(row) for row in rows):
        place = 0
        for name in names:
            if name not in columns:
                columns.insert(place, name)
            place = columns.index(name) + 1
    return as_csv([columns, *([row.get(column) for column in columns] for row in rows)])


def _row(
    results: Results, trial: TrialResult, columns: Sequence[str], names: Sequence[str], verdicts: Verdicts
) -> dict[str, Any]:
    spec = trial.spec
    placed, training = {one.placement: one for one in spec.adapters}, results.config.training_of(spec)
    trained = {} if spec.is_base_model else results.config.axes_of(spec)
    row: dict[str, Any] = {
        "trial_id": spec.trial_id,
        "title": trial.title,
        **{
            f"{placement}_{column}": _joined(adapter_value(placed.get(placement), column, training))
            for placement in placements_of(results.config)
            for column in columns
        },
        **{key: _joined(trained.get(key)) for key in TRAINING_AXES},
        "replicate": spec.replicate,
        "parameters": trial.parameters,
        "state": trial.state,
        "step_reached": trial.steps,
        "val_loss": trial.val_loss,
    }
    for name in names:
        judged, metrics = trial.on(name), results.measured(name)
        estimates = verdicts[name].estimates if name in verdicts else {}
        title, deciding = spec.configuration.title, results.deciding(name)
        intervals = estimates.get(title, {})
        for metric in metrics:
            key, value = f"{name}.{metric.name}", judged.metrics.get(metric.name)
            row[key] = value and value.value
            if any(
                metric.name in one.metrics and one.metrics[metric.name].standard_error
                for one in results.evaluations_on(name)
            ):
                row[f"{key}_se"] = value and value.standard_error
            if metric in deciding:
                ends = {"corrected": "value"} if metric.is_biased else {}
                ends |= {"low": "low", "high": "high"}
                for end, field in ends.items():  # in the units of the value, not in those of tables
                    bound = getattr(intervals.get(metric.name), field, None)
                    row[f"{key}_{end}"] = None if bound is None else bound / metric.scale
        row |= {f"{name}.{key}": getattr(judged, key) for key in JUDGED}
        row[f"{name}.images_in_verdict"] = verdicts[name].images.get(title) if name in verdicts else None
    return row


def _joined(value: Any) -> Any:
    return " ".join(value) if isinstance(value, tuple | list) else value
