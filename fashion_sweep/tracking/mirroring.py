"""One pass over a run folder: MLflow is given what it does not have yet."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashion_sweep.config_files import read_run_config
from fashion_sweep.files import read_json, read_json_lines, write_json
from fashion_sweep.paths import RunPaths, runs_root
from fashion_sweep.space import TrialSpec
from fashion_sweep.tracking.registry import register, winner
from fashion_sweep.tracking.store import is_server
from fashion_sweep.tracking.values import corrected_fids, final_metrics, finite, trial_params
from fashion_sweep.trials import run_specs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

STEP_METRICS = ("train_loss", "val_loss")
ENDED = {"done": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
"""State of a trial → of its run in MLflow."""
BATCH = 500
"""Metrics in one request; MLflow takes at most 1000."""


class Mirroring:
    """One pass over the run folder."""

    def __init__(self, client: "MlflowClient", uri: str, run: RunPaths, going: bool | None) -> None:
        self._client, self._uri, self._run, self._going = client, uri, run, going
        self._config = read_run_config(run.config)
        known = read_json(run.mirror, {})
        self._done: dict[str, Any] = known.get("runs", {}) if known.get("uri") == uri else {}
        """By MLflow run: the last step sent of each metric, and the files sent. Losing it costs time, nothing else."""
        self._results: dict[str, Any] = {}
        """Of the report, as far as there is one."""
        self._registered: str | None = known.get("registered")
        """What became of the winner, in words."""

    def everything(self) -> None:
        experiment_id = self._experiment()
        parent = self._parent(experiment_id)
        results = self._results = read_json(self._run.results, {})
        specs = run_specs(self._run, self._config)
        states = [self._trial(experiment_id, parent, spec) for spec in specs]
        note = f"{self._config.sweep.question}\n\n{results.get('answer', '')}".strip()
        self._set_tags(parent, {"mlflow.note.content": note})
        pages = [self._run.config, self._run.facts, self._run.report, self._run.page]
        pages += [self._run.results, self._run.table, self._run.grid]
        self._send_files(parent, [(path, "") for path in pages])
        self._send_files(parent, [(path, "plots") for path in sorted(self._run.plots.glob("[!.]*"))])
        ended = self._run.report.is_file() and all(state in ENDED for state in states)
        self._set_status(parent, ("FAILED" if "failed" in states else "FINISHED") if ended else None)
        self._save(parent.info.run_id)
        if ended and (won := winner(self._config, specs, results)):
            trial = self._child(experiment_id, parent, won.spec, None)
            said = register(self._client, self._run, self._config, won, parent, trial)
            self._set_tags(parent, {"registered": said})
            self._registered = said
            self._save(parent.info.run_id)

    def _experiment(self) -> str:
        name = f"{self._config.sweep.name}/{self._config.preset.name}"
        if (experiment := self._client.get_experiment_by_name(name)) is None:
            # a client that writes a database itself would put artifacts below its working directory
            location = None if is_server(self._uri) else (runs_root() / "mlflow-artifacts" / name).as_uri()
            return self._client.create_experiment(name, artifact_location=location)
        if experiment.lifecycle_stage == "deleted":
            self._client.restore_experiment(experiment.experiment_id)
        return experiment.experiment_id

    def _parent(self, experiment_id: str) -> "Run":
        ours = {"run": self._run.name, "run_folder": str(self._run.root.resolve())}
        found = self._client.search_runs([experiment_id], f"tags.run = '{self._run.name}'", order_by=["start_time"])
        for candidate in found:
            if candidate.data.tags.get("run_folder") == ours["run_folder"]:
                return candidate
        facts = read_json(self._run.facts, {})
        commit, started = facts.get("git_commit"), facts.get("started")
        tags = ours | ({"mlflow.source.git.commit": commit} if commit else {})
        start_ms = int(datetime.fromisoformat(started).timestamp() * 1000) if started else None
        return self._client.create_run(experiment_id, start_time=start_ms, tags=tags, run_name=self._run.name)

    def _trial(self, experiment_id: str, parent: "Run", spec: TrialSpec) -> str:
        """Mirrors one trial and says its state. Before it starts it has no run in MLflow, whose start time is final."""
        paths = self._run.trial(spec.trial_id)
        status, result = read_json(paths.status, {}), read_json(paths.result, {})
        stopped = read_json(paths.stopped, {})
        state = "done" if result else "stopped" if stopped else str(status.get("state") or "waiting")
        if state in {"waiting", "starting"}:
            return state
        child = self._child(experiment_id, parent, spec, status.get("started"))
        known = result or read_json(paths.suggestion, {})
        self._send_params(child, trial_params(self._config, spec, known))
        self._send_steps(child, read_json_lines(paths.metrics))
        if result:
            self._send_final(child, spec, result, paths.result.stat().st_mtime)
            self._send_files(child, [(self._run.config, ""), (paths.adapter, "adapter")])
            self._send_files(child, [(path, "samples") for path in sorted(paths.samples.glob("[0-9]*.png"))])
        if state == "failed":
            self._set_tags(child, {"error": str(status.get("error") or "unknown error")[:5000]})
        if state == "stopped":
            self._set_tags(child, {"stopped_at_step": str(stopped["step"])})
        self._set_status(child, ENDED.get(state), (stopped if state == "stopped" else status).get("time"))
        return state

    def _child(self, experiment_id: str, parent: "Run", spec: TrialSpec, started: float | None) -> "Run":
        tags = {"trial_id": spec.trial_id, "mlflow.parentRunId": parent.info.run_id}
        condition = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        found = self._client.search_runs([experiment_id], condition, order_by=["start_time"], max_results=1)
        if found:
            return found[0]
        start_ms = int(started * 1000) if started else None
        return self._client.create_run(experiment_id, start_time=start_ms, tags=tags, run_name=spec.title)

    def _send_params(self, run: "Run", params: dict[str, Any]) -> None:
        from mlflow.entities import Param

        new = [Param(key, str(value)) for key, value in params.items() if key not in run.data.params]
        if new:
            self._client.log_batch(run.info.run_id, params=new)

    def _send_steps(self, run: "Run", lines: Sequence[dict[str, Any]]) -> None:
        """After a restart the steps since the checkpoint are reported again, with the same values: sent once."""
        from mlflow.entities import Metric

        last = self._progress(run)["steps"]
        new = []
        for line in lines:
            for key in STEP_METRICS:
                value, step = line.get(key), line["step"]
                if finite(value) and step > last.get(key, -1):
                    new.append(Metric(key, float(value), int(line["time"]), step))
                    last[key] = step
        self._send_metrics(run, new)

    def _send_final(self, run: "Run", spec: TrialSpec, result: dict[str, Any], written: float) -> None:
        from mlflow.entities import Metric

        many_sets = len(self._config.sweep.judge) > 1
        final, tags = final_metrics(result, many_sets)
        final |= corrected_fids(self._results.get("verdicts") or {}, spec, many_sets)
        new = [
            Metric(key, float(value), int(written * 1000), int(result.get("steps") or 0))
            for key, value in final.items()
            if finite(value) and run.data.metrics.get(key) != float(value)
        ]
        self._send_metrics(run, new)
        self._set_tags(run, tags)

    def _send_metrics(self, run: "Run", metrics: Sequence["Metric"]) -> None:
        for first in range(0, len(metrics), BATCH):
            self._client.log_batch(run.info.run_id, metrics=metrics[first : first + BATCH])

    def _send_files(self, run: "Run", files: Sequence[tuple[Path, str]]) -> None:
        """Each file once for each time it was written."""
        sent = self._progress(run)["files"]
        for path, folder in files:
            if not path.is_file():
                continue
            version = [path.stat().st_size, path.stat().st_mtime_ns]
            key = f"{folder}/{path.name}"
            if sent.get(key) != version:
                self._client.log_artifact(run.info.run_id, str(path), folder or None)
                sent[key] = version

    def _set_tags(self, run: "Run", tags: dict[str, str]) -> None:
        for key, value in tags.items():
            if run.data.tags.get(key) != value:
                self._client.set_tag(run.info.run_id, key, value)

    def _set_status(self, run: "Run", final: str | None, ended: float | None = None) -> None:
        """`final` None: not finished."""
        unfinished = {True: "RUNNING", False: "KILLED", None: run.info.status}[self._going]
        wanted = final or unfinished
        if wanted == run.info.status:
            return
        if wanted == "RUNNING":
            self._client.update_run(run.info.run_id, status=wanted)
        else:
            self._client.set_terminated(run.info.run_id, wanted, int(ended * 1000) if final and ended else None)

    def _progress(self, run: "Run") -> dict[str, Any]:
        progress: dict[str, Any] = self._done.setdefault(run.info.run_id, {"steps": {}, "files": {}})
        return progress

    def _save(self, parent_id: str) -> None:
        now = {"uri": self._uri, "run_id": parent_id, "runs": self._done, "registered": self._registered}
        if read_json(self._run.mirror) != now:
            write_json(self._run.mirror, now)
