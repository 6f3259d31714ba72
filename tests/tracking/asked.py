"""What MLflow shows of the runs that were mirrored into it."""

from typing import Any

from fashion_sweep.tracking import mirror as tracking


def client() -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking.tracking_uri())


def runs(experiment: str = "exp2/tiny") -> dict[str, Any]:
    found = client().get_experiment_by_name(experiment)
    listed = client().search_runs([found.experiment_id])
    named = {run.data.tags.get("trial_id", "parent"): run for run in listed}
    assert len(named) == len(listed), "a run is doubled"
    return named


def history(run: Any, key: str) -> list[Any]:
    return client().get_metric_history(run.info.run_id, key)


def artifacts(run: Any, folder: str | None = None) -> list[str]:
    return [item.path for item in client().list_artifacts(run.info.run_id, folder)]
