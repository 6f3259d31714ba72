"""Eight processes bring MLflow up to date with eight run folders at once, and everything is counted.

    python -m drills.crowd              # into an SQLite file that does not exist yet, then into `mlflow server`

Each run has `--trials` trials of `--steps` steps. Exit code 1 if anything is missing, doubled or different.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from drills.counting import Count, count
from drills.tracking_server import Server
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.storage.files import write_json, write_text
from tests.report.synthetic_run import finish_trial, judgement, make_run


def finished_run(folder: Path, trials: int, steps: int) -> Path:
    listed = ", ".join(f"{{unet: {rank}}}" for rank in range(1, trials + 1))
    run = make_run(folder, settings=[f"sweep.trials=[{listed}]"])
    for rank in range(1, trials + 1):
        finish_trial(run, TrialSpec.of({"unet": rank}), 9216 * rank, {"fashion": judgement(15.0 + rank)}, steps=steps)
    verdict = {"chosen": "UNet rank 1", "best": "UNet rank 1", "best_trial": "unet-r1", "sentence": "It is rank 1."}
    write_json(run.results, {"answer": "It is rank 1.", "verdicts": {"fashion": verdict}})
    write_text(run.report, "# A finished run\n")
    return run.root


def all_at_once(runs: list[Path], uri: str) -> tuple[float, list[str]]:
    """Seconds until the last was done, and what those said that failed."""
    environment = os.environ | {"FASHION_SWEEP_RUNS": str(runs[0].parent), "MLFLOW_TRACKING_URI": uri}
    began = time.monotonic()
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "fashion_sweep", "sync", run.name],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for run in runs
    ]
    said = [process.communicate()[1].strip() for process in processes]
    return time.monotonic() - began, [text for text, process in zip(said, processes, strict=True) if process.returncode]


def told(name: str, seconds: float, failed: list[str], counts: list[Count]) -> list[str]:
    rows, there = sum(one.rows for one in counts), sum(one.rows_there for one in counts)
    print(
        f"{name}: {len(counts)} processes, {seconds:.0f} s; {sum(one.runs for one in counts)} MLflow runs, "
        f"{rows} rows in the folders, {there} in MLflow, {sum(one.artifacts for one in counts)} artifacts, "
        f"{sum(one.versions for one in counts)} versions"
    )
    return [f"{name}: {text}" for text in [*failed, *(text for one in counts for text in one.differences)]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--trials", type=int, default=3)
    parser.add_argument("--steps", type=int, default=500)
    wanted = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="crowd-"))
    runs = [finished_run(folder / "runs" / f"run-{n}", wanted.trials, wanted.steps) for n in range(wanted.runs)]
    database = folder / "mlflow.db"
    seconds, failed = all_at_once(runs, f"sqlite:///{database}")
    wrong = told("SQLite", seconds, failed, [count(run, database) for run in runs])
    server = Server(folder / "server")
    server.start()
    try:
        seconds, failed = all_at_once(runs, f"http://127.0.0.1:{server.port}")
        wrong += told("mlflow server", seconds, failed, [count(run, server.database) for run in runs])
    finally:
        server.kill()
    print("\n".join(wrong) or "every metric, parameter, artifact, status and version is there, once")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
