"""The MLflow store that runs are tracked in: where it is, and a client for it."""

import logging
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fashion_sweep.errors import ConfigError, RunError
from fashion_sweep.paths import runs_root

if TYPE_CHECKING:
    from mlflow import MlflowClient

QUIET = {
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # by default a dead server is asked for four minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


def tracking_uri() -> str:
    """`$MLFLOW_TRACKING_URI`, else an SQLite file under the runs' root."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{runs_root() / 'mlflow.db'}"


def is_server(uri: str) -> bool:
    return urlsplit(uri).scheme in {"http", "https"}


def shown(uri: str) -> str:
    """Without the password that a database's or server's address may hold."""
    parts = urlsplit(uri)
    return uri.replace(f"{parts.username}:{parts.password}@", "") if parts.password else uri


def check_exists(uri: str) -> None:
    """So that a look into a store does not make one."""
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise ConfigError(f"there is no MLflow store at {uri} yet; run a sweep first")


def check_answers(uri: str) -> None:
    """In two seconds at most; MLflow's own client would try for minutes."""
    if not is_server(uri):
        return
    parts = urlsplit(uri)
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((parts.hostname or "", port), timeout=2).close()
    except (OSError, ValueError) as error:
        raise RunError(f"the MLflow server at {shown(uri)} does not answer: {error}") from error


def client(uri: str) -> "MlflowClient":
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    if not is_server(uri):
        runs_root().mkdir(parents=True, exist_ok=True)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient(uri)
