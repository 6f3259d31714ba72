"""A server's database and artifacts against a run folder, counted without our own mirror or MLflow's client."""

import json
import math
import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

STATES = {"done": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
LOSSES = ("train_loss", "val_loss")
JUDGED = ("fid", "kid", "kid_se", "clip_score", "clip_score_se")


@dataclass
class Count:
    """What the folder has, what the server has of it, and each difference in words."""

    runs: int = 0
    rows: int = 0
    rows_there: int = 0
    params: int = 0
    artifacts: int = 0
    versions: int = 0
    differences: list[str] = field(default_factory=list)

    def expect(self, what: str, wanted: Any, found: Any) -> None:
        if wanted != found:
            self.differences.append(f"{what}: {wanted!r} in the folder, {found!r} on the server")


def count(run: Path, database: Path, versions: int | None = 1) -> Count:
    store = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    counted = Count()
    experiment = "select e.name from experiments e join runs r using (experiment_id) where r.run_uuid = ?"
    runs = _runs_of(store, run)
    trials = sorted(path.parent for path in run.glob("trials/*/status.json"))
    counted.runs = len(runs)
    counted.expect("runs", Counter([None, *(trial.name for trial in trials)]), Counter(name for _, name, _ in runs))
    by_trial = {name: (run_id, status) for run_id, name, status in runs}
    for trial in trials:
        if trial.name in by_trial:
            _trial(counted, store, run, trial, *by_trial[trial.name])
    if None in by_trial:
        parent, status = by_trial[None]
        states = [_state(trial) for trial in trials]
        counted.expect("status of the run", "FAILED" if "failed" in states else "FINISHED", status)
        assert store.execute(experiment, (parent,)).fetchone()
        pages = ["config.yaml", "run.json", "report.md", "report.html", "results.json", "results.csv", "grid.png"]
        files = {page: run / page for page in pages} | {f"plots/{path.name}": path for path in run.glob("plots/[!.]*")}
        _artifacts(counted, store, parent, {name: path for name, path in files.items() if path.is_file()})
    ids = [run_id for run_id, _, _ in runs]
    marks = ",".join("?" * len(ids))
    stages = "current_stage != 'Deleted_Internal'"
    found = store.execute(f"select count(*) from model_versions where run_id in ({marks}) and {stages}", ids)
    counted.versions = found.fetchone()[0]
    if versions is not None:
        counted.expect("versions in the registry", versions, counted.versions)
    store.close()
    return counted


def _runs_of(store: sqlite3.Connection, run: Path) -> list[tuple[str, str | None, str]]:
    """MLflow run, trial and status of all that is not deleted and carries the run's tag."""
    key = "select value from tags where key = 'run_key' and run_uuid in"
    key += " (select run_uuid from tags where key = 'run_folder' and value = ?)"
    return store.execute(
        "select r.run_uuid, t.value, r.status from runs r join tags k on k.run_uuid = r.run_uuid and k.key = 'run_key'"
        " left join tags t on t.run_uuid = r.run_uuid and t.key = 'trial_id'"
        f" where r.lifecycle_stage = 'active' and k.value in ({key})",
        (str(run.resolve()),),
    ).fetchall()


def _state(trial: Path) -> str:
    if (trial / "result.json").is_file():
        return "done"
    return "stopped" if (trial / "stopped.json").is_file() else json.loads((trial / "status.json").read_text())["state"]


def _trial(counted: Count, store: sqlite3.Connection, run: Path, trial: Path, run_id: str, status: str) -> None:
    counted.expect(f"status of {trial.name}", STATES[_state(trial)], status)
    wanted: Counter[tuple[str, int, float]] = Counter()
    if (trial / "metrics.jsonl").is_file():
        for line in map(json.loads, (trial / "metrics.jsonl").read_text().splitlines()):
            wanted.update((key, line["step"], line[key]) for key in LOSSES if key in line and math.isfinite(line[key]))
    result = json.loads((trial / "result.json").read_text())
    steps, judged = result["steps"], result["evaluations"].get("fashion", {})
    wanted.update((key, steps, judged[key]) for key in JUDGED if key in judged)
    wanted.update((f"seconds_{stage}", steps, value) for stage, value in result["seconds"].items())
    names = {key for key, _, _ in wanted}
    rows = store.execute("select key, step, value from metrics where run_uuid = ?", (run_id,)).fetchall()
    found = Counter(row for row in rows if row[0] in names)
    counted.rows, counted.rows_there = counted.rows + wanted.total(), counted.rows_there + found.total()
    for one in (wanted - found) + (found - wanted):
        counted.expect(f"{trial.name} {one}", wanted[one], found[one])
    others = Counter(key for key, _, _ in rows if key not in names)
    counted.expect(f"{trial.name} rows of {dict(others)}", [], [key for key, n in others.items() if n > 1])
    params = dict(store.execute("select key, value from params where run_uuid = ?", (run_id,)).fetchall())
    counted.params += len(params)
    config = yaml.safe_load((run / "config.yaml").read_text())
    training = config["preset"]["training"]
    expected = {key: training[key] for key in ("learning_rate", "lora_alpha", "batch_size", "steps", "epochs", "seed")}
    expected |= {f"{name}_rank": rank for name, rank in result["ranks"].items()}
    expected |= {"parameters": result["parameters"], "preset": config["preset"]["name"]}
    known = {key: str(value) for key, value in expected.items() if value is not None}
    counted.expect(f"params of {trial.name}", known, params)
    files = {"config.yaml": run / "config.yaml"}
    files |= {f"adapter/{path.name}": path for path in trial.glob("adapter/*.safetensors")}
    files |= {f"samples/{path.name}": path for path in trial.glob("samples/[0-9]*.png")}
    _artifacts(counted, store, run_id, files)


def _artifacts(counted: Count, store: sqlite3.Connection, run_id: str, files: dict[str, Path]) -> None:
    """Byte for byte."""
    (uri,) = store.execute("select artifact_uri from runs where run_uuid = ?", (run_id,)).fetchone()
    (database,) = [row[2] for row in store.execute("pragma database_list") if row[1] == "main"]
    root = Path(database).parent / "artifacts" / uri.removeprefix("mlflow-artifacts:/")
    root = Path(uri.removeprefix("file://")) if uri.startswith("file://") else root
    for name, path in files.items():
        there = root / name
        counted.artifacts += 1
        if not there.is_file() or there.read_bytes() != path.read_bytes():
            state = "differs" if there.is_file() else "is missing"
            counted.differences.append(f"artifact {name} of {run_id} {state}")
