"""Finds the MLflow runs of a run folder in one look by a tag that they alone carry; makes each that is missing.

MLflow makes a run each time it is asked, also by a request whose answer was lost on the way. So before anything is
made, MLflow is asked what is there; and where a request that had been given up is carried out late, the twin is
deleted. What a user deletes in MLflow stays deleted.
"""

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.run.paths import RunPaths, runs_root
from fashion_sweep.run.run_id import KEY, identity
from fashion_sweep.storage.files import read_json
from fashion_sweep.tracking.store import is_server

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

TWIN = "duplicate_of"
PARENT = "mlflow.parentRunId"
PAGE = 1000
COLOURS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"]
"""The colours of trials in MLflow's charts, by default random; matplotlib's, so that neighbours differ."""


class Runs:
    """Holds what MLflow has of one run folder, as of the last `look`."""

    def __init__(self, client: "MlflowClient", uri: str, run: RunPaths, config: RunConfig) -> None:
        self._client, self._uri, self._run, self._config = client, uri, run, config
        self._found: dict[str | None, Run | None] = {}
        """The MLflow run of each trial, None as key for the run's own; None as value where a user deleted it."""
        self.experiment_id: str | None = None
        """The experiment where the runs were last seen. It may have been renamed since, or be another's after a loss of
        the database."""
        self.made = 0
        """The number of MLflow runs made since the last `look`."""

    def look(self) -> None:
        self.made = 0
        self._key = identity(self._run)
        runs = self._search() if self.experiment_id else []
        if not any("trial_id" not in run.data.tags for run in runs):
            self.experiment_id = self._experiment()
            runs = self._search()
        groups = defaultdict(list)
        for run in runs:
            groups[run.data.tags.get("trial_id")].append(run)
        self._found = {trial_id: self._one_of(group) for trial_id, group in groups.items()}

    def parent(self) -> "Run | None":
        """Returns the run's own MLflow run, made if missing; None where a user deleted it."""
        if None not in self._found:
            self._revive_experiment()
            run_facts = read_json(self._run.facts, {})
            commit, started = run_facts.get("git_commit"), run_facts.get("started")
            tags = {"run": self._run.name, "run_folder": str(self._run.root.resolve())}
            tags |= {"mlflow.source.git.commit": commit} if commit else {}
            self._make(None, self._run.name, tags, datetime.fromisoformat(started).timestamp() if started else None)
        return self._found[None]

    def child(self, parent: "Run", spec: TrialSpec, started: float | None) -> "Run | None":
        """Returns the MLflow run of a trial, made if missing; None where a user deleted it."""
        if spec.trial_id not in self._found:
            colour = COLOURS[(len(self._found) - 1) % len(COLOURS)]
            tags = {"trial_id": spec.trial_id, PARENT: parent.info.run_id, "mlflow.runColor": colour}
            self._make(spec.trial_id, spec.title, tags, started)
        return self._found[spec.trial_id]

    def set_status(self, run: "Run", final: str | None, ended: float | None, going: bool | None) -> None:
        """Sets the status of an MLflow run; `final` is None where the run is not finished."""
        unfinished = {True: "RUNNING", False: "KILLED", None: run.info.status}[going]
        wanted = final or unfinished
        if wanted == run.info.status:
            return
        if wanted == "RUNNING":
            self._client.update_run(run.info.run_id, status=wanted)
        else:
            self._client.set_terminated(run.info.run_id, wanted, int(ended * 1000) if final and ended else None)

    def _make(self, trial_id: str | None, name: str, tags: dict[str, str], started: float | None) -> None:
        assert self.experiment_id is not None
        start_ms = int(started * 1000) if started else None
        tags = {KEY: self._key} | tags
        self._found[trial_id] = self._client.create_run(self.experiment_id, start_ms, tags, name)
        self.made += 1

    def _search(self) -> "list[Run]":
        from mlflow.entities import ViewType

        runs: list[Run] = []
        condition, token = f"tags.{KEY} = '{self._key}'", None
        while True:
            page = self._client.search_runs([self.experiment_id], condition, ViewType.ALL, PAGE, page_token=token)
            runs += page
            if not (token := page.token):
                return runs

    def _one_of(self, group: "list[Run]") -> "Run | None":
        """Keeps one of several MLflow runs and deletes the others. All processes that see them choose the same one."""
        live = [run for run in group if run.info.lifecycle_stage == "active"]
        live.sort(key=lambda run: (TWIN in run.data.tags, run.info.run_id))
        for twin in live[1:]:
            self._client.set_tag(twin.info.run_id, TWIN, live[0].info.run_id)
            self._client.delete_run(twin.info.run_id)
        return live[0] if live else None

    @property
    def _experiment_name(self) -> str:
        return f"{self._config.sweep.name}/{self._config.preset.name}"

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        name = self._experiment_name
        if (existing := self._client.get_experiment_by_name(name)) is not None:
            return str(existing.experiment_id)
        # a client that writes a database itself would put artifacts below its working directory
        location = None if is_server(self._uri) else (runs_root() / "mlflow-artifacts" / name).as_uri()
        try:
            return str(self._client.create_experiment(name, artifact_location=location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            return str(self._client.get_experiment_by_name(name).experiment_id)  # another run was faster

    def _revive_experiment(self) -> None:
        """Restores the experiment if it was deleted, since a new run needs it; the runs deleted with it stay so."""
        from mlflow.entities import ViewType

        if self._client.get_experiment(self.experiment_id).lifecycle_stage == "active":
            return
        deleted = self._client.search_runs([self.experiment_id], "", ViewType.DELETED_ONLY, 50_000)
        self._client.restore_experiment(self.experiment_id)
        for run in deleted:
            self._client.delete_run(run.info.run_id)
