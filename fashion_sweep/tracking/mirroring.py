"""Passes over a run folder and gives MLflow what it does not have yet.

What MLflow has is asked of MLflow, in one request a pass: its runs with their params, tags, statuses and the latest
point of each metric. Points are sent in the order of their steps, each request whole or not at all, so what is older
than the latest is there. Hence a server that lost its answers, its database or its last hours is given what it lacks.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fashion_sweep.config.loading import read_run_config
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import DataError, RunError
from fashion_sweep.run.paths import RunPaths, TrialPaths
from fashion_sweep.run.run_id import KEY, identity
from fashion_sweep.run.specs import run_specs
from fashion_sweep.run.status import read_status, state_of
from fashion_sweep.storage.files import read_json, read_json_lines, read_what_may_be_lost, write_json
from fashion_sweep.tracking.artifacts import LONGEST_TAG, Artifacts
from fashion_sweep.tracking.registry import register
from fashion_sweep.tracking.runs import PARENT, Runs
from fashion_sweep.tracking.store import client, is_refusal, shown, trouble
from fashion_sweep.tracking.tracked import tracked
from fashion_sweep.tracking.values import (
    Point,
    corrected_metrics,
    final_metrics,
    final_points,
    finite,
    parent_tags,
    trial_params,
)
from fashion_sweep.tracking.views import prepare_views

if TYPE_CHECKING:
    from mlflow.entities import Run

STEP_METRICS = ("train_loss", "val_loss")
ENDED = {"done": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
"""The status of a trial's run in MLflow, by the trial's state."""
BATCH = 500
"""The number of metrics in one request; MLflow takes at most 1000."""


@dataclass
class Losses:
    """Holds what was last read of a trial's `metrics.jsonl`, so that it is read again only when it has changed."""

    version: tuple[int, int] | None = None
    last: dict[str, int] = field(default_factory=dict)
    """The last step with a value, by metric."""


class Deleted(RunError):
    """Reports that a user deleted the run in MLflow, which is respected."""


class Mirroring:
    """Brings one MLflow up to date with one run folder, pass by pass."""

    def __init__(self, uri: str, run: RunPaths) -> None:
        self._client, self._run = client(uri), run
        self._uri = uri
        self._config = read_run_config(run.config)
        self._task = tracked(self._config)
        saved = read_what_may_be_lost(run.mirror)
        saved = saved if saved.get("uri") == shown(uri) else {}
        self._runs = Runs(self._client, uri, run, self._config)
        self._runs.experiment_id = saved.get("experiment_id")
        self._unanswered: dict[str, list[Point]] = saved.get("unanswered", {})
        """The points that were sent, by MLflow run, with their times as they were then. Should they have arrived in
        spite of all, they must not arrive again with the times at which a trial that was resumed made the same
        steps."""
        self._registered: str | None = saved.get("registered")
        """What became of all adapters that belong into the registry, in words."""
        self._artifacts = Artifacts(self._client)
        self._entries: dict[str, str] = {}
        """What became of each adapter that belongs into the registry, in words, by trial."""
        self._losses: dict[str, Losses] = {}
        self._viewed: str | None = None
        """The MLflow run for which views were prepared."""
        self._refusals: list[str] = []
        self.left_out: list[str] = []
        """The titles of trials whose runs a user deleted in MLflow."""

    def go(self, going: bool | None, thorough: bool = False) -> bool:
        """Makes one pass; returns True when another must look whether what this one made was there already.

        Args:
            going: see `mirror`.
            thorough: whether artifacts are looked for where they should be, which takes requests.

        Raises:
            Deleted: a user deleted the run in MLflow.
            RunError: MLflow refused a part; all else is there.
        """
        self._refusals, self.left_out = [], []
        self._artifacts.thorough = thorough
        self._runs.look()
        parent = self._runs.parent()
        self._save(parent)
        if parent is None:
            raise Deleted(f"{self._run.name} was deleted in MLflow; restore it there to have it brought up to date")
        if self._viewed != parent.info.run_id:
            with self._bearing_refusal():
                prepare_views(self._client, parent, self._config)
                self._viewed = parent.info.run_id
        results = read_what_may_be_lost(self._run.results)
        states = {spec: self._trial(parent, spec, results, going) for spec in run_specs(self._run, self._config)}
        ended = self._run.report.is_file() and all(state in ENDED for state in states.values())
        self._send_parent(parent, results)
        self._runs.set_status(
            parent, ("FAILED" if "failed" in states.values() else "FINISHED") if ended else None, None, going
        )
        self._register(parent, states, results if ended else {})
        self._save(parent)
        if self._refusals:
            more = f" (and {len(self._refusals) - 1} more)" if len(self._refusals) > 1 else ""
            raise RunError(f"not all could be sent: {self._refusals[0]}{more}")
        return self._runs.made > 0

    def _register(self, parent: "Run", states: Mapping[TrialSpec, str], results: Mapping[str, Any]) -> None:
        """Registers each adapter as soon as it belongs into the registry; once, but in a thorough pass."""
        for spec in self._task.to_register(self._config, states, results):
            if spec.trial_id in self._entries and not self._artifacts.thorough:
                continue
            with self._bearing_refusal():
                if trial := self._runs.child(parent, spec, None):
                    entry = self._task.entry(self._run, self._config, spec, results)
                    self._entries[spec.trial_id] = register(self._client, self._run, self._config, entry, parent, trial)
        failed = [*states.values()].count("failed")
        if len(self._entries) > 1:
            self._registered = f"{len(self._entries)} adapters, each under its own name"
        elif self._entries:
            (self._registered,) = self._entries.values()
        elif results and failed:
            self._registered = f"nothing: {failed} of {len(states)} trials failed; resume tries them again"
        if self._entries and self._registered:
            self._send(parent, tags={"registered": self._registered})

    def _send_parent(self, parent: "Run", results: Mapping[str, Any]) -> None:
        self._send(parent, tags=parent_tags(self._run, self._config, results))
        pages = [self._run.config, self._run.facts, self._run.report, self._run.page]
        pages += [self._run.results, self._run.table, self._run.grid]
        plots = [(path, "plots") for path in sorted(self._run.plots.glob("[!.]*"))]
        self._send_files(parent, [*((path, "") for path in pages), *plots])

    def _trial(self, parent: "Run", spec: TrialSpec, results: Mapping[str, Any], going: bool | None) -> str:
        """Mirrors one trial and returns its state. Before it starts it has no MLflow run, whose start time is final."""
        paths = self._run.trial(spec.trial_id)
        status = read_status(paths)
        state = state_of(paths, status, going is not False)
        result, stopped = read_json(paths.result, {}), read_json(paths.stopped, {})
        if state in {"waiting", "starting"} and "started" not in status:
            return state
        child = self._runs.child(parent, spec, status.get("started"))
        if child is None:
            self.left_out.append(spec.title)
            return state
        tags = {PARENT: parent.info.run_id}
        tags |= {"error": str(status.get("error") or "unknown error")} if state == "failed" else {}
        tags |= {"stopped_at_step": str(stopped["step"])} if state == "stopped" else {}
        params = trial_params(self._config, spec, result or read_json(paths.suggestion, {}))
        with self._bearing_refusal():
            points = [*self._unanswered.get(child.info.run_id, []), *self._new_losses(child, spec, paths)]
            if state == "done":
                sweep = self._config.sweep
                final, rests_on = final_metrics(result, sweep)
                written = [(paths.result, final)]
                written += [(self._run.results, corrected_metrics(results.get("verdicts") or {}, spec, sweep))]
                points += final_points(written, result, sweep, self._latest(child))
                tags |= rests_on
            self._send(child, points, params, tags)
        if state == "done":
            files = [(self._run.config, ""), (paths.adapter, "adapter")]
            files += [(path, "") for path in self._task.artifacts(self._run, spec)]
            files += [(path, "samples") for path in sorted(paths.samples.glob("[0-9]*.png"))]
            self._send_files(child, files)
        ended = (stopped if state == "stopped" else status).get("time")
        self._runs.set_status(child, ENDED.get(state), ended, going)
        return state

    def _latest(self, run: "Run") -> dict[str, tuple[int, int, float]]:
        """Returns step, time and value of each metric's latest point, in MLflow or perhaps still on its way there."""
        latest = {one.key: (one.step, one.timestamp, one.value) for one in run.data._metric_objs}
        for key, value, time_ms, step in self._unanswered.get(run.info.run_id, []):
            latest[key] = max(latest.get(key, (-1, 0, 0.0)), (step, time_ms, value))
        return latest

    def _new_losses(self, run: "Run", spec: TrialSpec, paths: TrialPaths) -> list[Point]:
        """Returns the losses that MLflow lacks. After a restart the steps since the checkpoint are made again, with the
        same values: each is sent once."""
        earlier, latest = self._losses.setdefault(spec.trial_id, Losses()), self._latest(run)
        there = {key: latest[key][0] if key in latest else -1 for key in STEP_METRICS}
        try:
            now = paths.metrics.stat()
        except FileNotFoundError:
            return []
        version = (now.st_mtime_ns, now.st_size)
        if version == earlier.version and all(step <= there[key] for key, step in earlier.last.items()):
            return []
        lines = read_json_lines(paths.metrics)
        points = [
            (key, float(line[key]), int(line["time"]), int(line["step"]))
            for line in lines
            for key in STEP_METRICS
            if finite(line.get(key))
        ]
        self._losses[spec.trial_id] = Losses(version, {key: step for key, _, _, step in points})
        return [point for point in points if point[3] > there[point[0]]]

    def _send(
        self,
        run: "Run",
        points: Sequence[Point] = (),
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Sends what MLflow lacks of these points, params and tags; MLflow stores the very same point once."""
        from mlflow.entities import Metric, Param, RunTag

        new_params = [Param(key, str(value)) for key, value in (params or {}).items() if key not in run.data.params]
        clipped = {key: value[:LONGEST_TAG] for key, value in (tags or {}).items()}
        new_tags = [RunTag(key, value) for key, value in clipped.items() if run.data.tags.get(key) != value]
        run_id = run.info.run_id
        if new_params or new_tags:
            self._client.log_batch(run_id, params=new_params, tags=new_tags)
        for first in range(0, len(points), BATCH):
            batch = list(points[first : first + BATCH])
            self._unanswered[run_id] = batch
            self._save()
            self._client.log_batch(run_id, [Metric(*point) for point in batch])
        self._unanswered.pop(run_id, None)

    def _send_files(self, run: "Run", files: Sequence[tuple[Path, str]]) -> None:
        with self._bearing_refusal():
            if tag := self._artifacts.send(run, files):
                self._send(run, tags=tag)
                self._artifacts.told(run)

    @contextmanager
    def _bearing_refusal(self) -> Iterator[None]:
        """Notes what MLflow refuses, such as a file that is too large, so that it does not hold up all the rest."""
        try:
            yield
        except Exception as error:
            if not isinstance(error, DataError) and not is_refusal(error):
                raise
            self._refusals.append(trouble(error, self._uri))

    def _save(self, parent: "Run | None" = None) -> None:
        saved = read_what_may_be_lost(self._run.mirror)
        now = {
            "uri": shown(self._uri),
            KEY: identity(self._run),
            "experiment_id": self._runs.experiment_id,
            "run_id": parent.info.run_id if parent else saved.get("run_id"),
            "registered": self._registered,
            "unanswered": {run: [list(point) for point in points] for run, points in self._unanswered.items()},
        }
        if saved != now:
            write_json(self._run.mirror, now)
