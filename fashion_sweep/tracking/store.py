"""Finds the MLflow store that runs are tracked in, and makes a client for it."""

import logging
import os
import re
import socket
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from fashion_sweep.errors import ConfigError, RunError
from fashion_sweep.run.paths import runs_root
from fashion_sweep.storage import locks
from fashion_sweep.storage.files import replacing, sqlite_address, sqlite_file

if TYPE_CHECKING:
    from mlflow import MlflowClient

QUIET = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
ONCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
"""The setting that turns MLflow's own retries off. It would repeat any request without answer, though it may have been
carried out. `Client` knows which requests it may repeat."""
OF_DATABASES = ("mlflow.store.tracking.sqlalchemy_workspace_store", "sqlalchemy.dialects.sqlite", "alembic.command")
AGAIN_AFTER_S = (0.2, 1.0)
QUICK_S = 15.0
"""The seconds after which a failed request met a server too busy to be asked again at once."""
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


def tracking_uri() -> str:
    """Returns `$MLFLOW_TRACKING_URI`, else an SQLite file under the runs' root.

    Raises:
        ConfigError: it is no address of a server or database; MLflow has given up folders.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or sqlite_address(runs_root() / "mlflow.db")
    no_path = uri.startswith("sqlite") and urlsplit(uri).netloc
    if no_path or ("://" not in uri and not uri.startswith("databricks")):
        raise ConfigError(
            f"MLFLOW_TRACKING_URI: {uri!r} is no address; write http://HOST:PORT of a server, or sqlite:///FILE"
        )
    return uri


def is_server(uri: str) -> bool:
    return urlsplit(uri).scheme in {"http", "https"}


def shown(uri: str) -> str:
    """Returns an address fit for eyes, logs and the run folder: without the user, password and query it may hold."""
    bare, _, query = uri.partition("?")
    scheme, _, rest = bare.partition("://")
    authority, slash, path = rest.partition("/")
    if not query and "@" not in authority:
        return uri
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"


def trouble(error: Exception, uri: str) -> str:
    """Returns an error in one line, without secrets, and the same each time that it comes up."""
    text = " ".join(str(error).split()).replace(uri, shown(uri))
    parts = urlsplit(uri)
    secrets = [parts.netloc.rpartition("@")[0], parts.password, parts.query, *map(os.environ.get, SECRETS)]
    for secret in filter(None, secrets):
        for spelling in (secret, unquote(secret)):
            text = text.replace(spelling, "***")
    text = re.sub(r" at 0x[0-9a-f]+", "", text)
    return text[:300] if isinstance(error, RunError) else f"{type(error).__name__}: {text}"[:300]


def is_refusal(error: Exception) -> bool:
    """Returns whether MLflow refused this one request only, so that it may still be asked for the next."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return 400 <= int(error.get_http_status_code()) < 500
    response = getattr(error, "response", None)
    return response is not None and 400 <= response.status_code < 500


def load(uri: str) -> None:
    """Imports all that a client needs, before a thread does. Where two threads are within one package at a time,
    Python hands out modules that are half made (SQLAlchemy's, which Optuna needs, too)."""
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    os.environ.update(ONCE)
    for name in ("mlflow", *(() if is_server(uri) else OF_DATABASES)):
        import_module(name)


def _make_database(path: Path) -> None:
    """Makes MLflow's database whole or not at all, by one process: migrations run twice or broken off wreck it."""
    from mlflow import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        return
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        locks.lock(lock)
        if not path.is_file():
            with replacing(path) as temporary:
                MlflowClient(sqlite_address(temporary)).search_experiments()


def check_exists(uri: str) -> None:
    """Checks that the store exists, so that a look into it does not make one; raises ConfigError otherwise."""
    if (file := sqlite_file(uri)) and not file.is_file():
        raise ConfigError(f"there is no MLflow store at {uri} yet; run a sweep first")


def check_answers(uri: str) -> None:
    """Checks within two seconds that the server takes connections; MLflow's own client would try for minutes."""
    parts = urlsplit(uri)
    host = parts.hostname or ""
    if not is_server(uri) or (parts.scheme in getproxies() and not proxy_bypass(host)):
        return
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        socket.create_connection((host, port), timeout=2).close()
    except (OSError, ValueError) as error:
        raise RunError(f"the MLflow server at {shown(uri)} does not answer: {error}") from error


class Client:
    """Wraps MLflow's client: asks again where an answer was lost, except for what would be made a second time."""

    def __init__(self, client: "MlflowClient") -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        if name.startswith("create_"):
            return call

        def patiently(*args: Any, **values: Any) -> Any:
            for pause in AGAIN_AFTER_S:
                began = time.monotonic()
                try:
                    return call(*args, **values)
                except Exception as error:
                    if is_refusal(error) or time.monotonic() - began > QUICK_S:
                        raise
                time.sleep(pause)
            return call(*args, **values)

        return patiently


def client(uri: str) -> "MlflowClient":
    load(uri)
    if not is_server(uri):
        runs_root().mkdir(parents=True, exist_ok=True)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):  # what they log of a failure, with a traceback, they raise as well
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if file := sqlite_file(uri):
        _make_database(file)
    return cast("MlflowClient", Client(MlflowClient(uri)))
