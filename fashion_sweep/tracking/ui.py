"""MLflow's own UI, served on this machine's loopback address."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlencode

from fashion_sweep.errors import ConfigError, RunError
from fashion_sweep.paths import runs_root
from fashion_sweep.tracking.store import check_exists, client, is_server, shown, tracking_uri


def open_ui(port: int) -> None:
    """Serves MLflow's UI for our store on 127.0.0.1 until interrupted; prints its address once it answers.

    Raises:
        ConfigError: there is no store yet, or the port is taken.
    """
    uri = tracking_uri()
    if is_server(uri):
        print(f"MLFLOW_TRACKING_URI is a server, which has a UI of its own: {shown(uri)}")
        return
    check_exists(uri)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port of a server just stopped is free
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise ConfigError(f"--port {port}: cannot be used ({error}); choose another") from error
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    command += ["--artifacts-destination", (runs_root() / "mlflow-artifacts").as_uri()]
    # the address may hold a password, which all users of a machine could read in a command
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_BACKEND_STORE_URI": uri}
    log = runs_root() / "mlflow-ui.log"
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else a polite kill would leave the server behind
    with log.open("w") as output:
        # a session of its own, so that one signal ends the server with its workers
        server = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait_until_served(server, port, log)
        if side_by_side := newest_compared(uri):
            print(f"the newest run's trials side by side: http://127.0.0.1:{port}/{side_by_side}", flush=True)
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def newest_compared(uri: str) -> str | None:
    """MLflow's compare page of the trials of the newest run; None where there are none."""
    store = client(uri)
    experiments = [experiment.experiment_id for experiment in store.search_experiments()]
    newest = store.search_runs(experiments, "tags.run != ''", order_by=["start_time DESC"], max_results=1)
    if not newest:
        return None
    parent = newest[0].info
    ours = f"tags.`mlflow.parentRunId` = '{parent.run_id}'"
    trials = store.search_runs([parent.experiment_id], ours)
    trials = sorted(trials, key=lambda trial: int(trial.data.params.get("parameters", 0)))
    chosen = {"runs": [trial.info.run_id for trial in trials], "experiments": [parent.experiment_id]}
    return "#/compare-runs?" + urlencode({key: json.dumps(ids, separators=(",", ":")) for key, ids in chosen.items()})


def _wait_until_served(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    print("starting the MLflow UI …", flush=True)
    while server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                print(f"MLflow UI: http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
                return
        time.sleep(0.2)
    raise RunError(f"the MLflow UI did not start; see {log}")
