"""Serves MLflow's own UI on this machine's loopback address."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from fashion_sweep.errors import ConfigError, RunError
from fashion_sweep.run.paths import runs_root
from fashion_sweep.tracking.store import check_answers, check_exists, client, is_server, shown, tracking_uri
from fashion_sweep.tracking.views import newest_views


def open_ui(port: int) -> None:
    """Serves MLflow's UI for our store on 127.0.0.1 until interrupted; prints its address once it answers.

    Raises:
        ConfigError: there is no store yet, or the port is taken.
    """
    uri = tracking_uri()
    if is_server(uri):
        check_answers(uri)
        _print_addresses(uri, shown(uri), "a server of its own, by MLFLOW_TRACKING_URI")
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
        _print_addresses(uri, f"http://127.0.0.1:{port}", "Ctrl-C ends it")
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def _print_addresses(uri: str, server: str, note: str) -> None:
    """Prints the newest run's views first, since MLflow's own start page is about something else."""
    base = server.rstrip("/")
    for view, address in newest_views(client(uri)):
        print(f"the newest run's {view}: {base}/{address}")
    print(f"all of MLflow: {base} (runs are under Model training; {note})", flush=True)


def _wait_until_served(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    print("starting the MLflow UI …", flush=True)
    while server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise RunError(f"the MLflow UI did not start; see {log}")
