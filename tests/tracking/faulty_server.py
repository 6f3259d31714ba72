"""MLflow's own server in this process, with a door that loses answers, holds requests back and refuses them."""

import io
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

Fault = Callable[[str, str], bool]
"""Whether a request, by method and path, is to suffer it."""


def never(method: str, path: str) -> bool:
    return False


class _Quiet(WSGIRequestHandler):
    def log(self, *args: Any) -> None:
        pass


class FaultyServer:
    def __init__(self, monkeypatch: Any, folder: Path, database: bytes) -> None:
        self.loses_answer = self.holds_back = self.refuses = never
        self.requests: list[tuple[str, str]] = []
        self._held: list[dict[str, Any]] = []
        self._monkeypatch, self._folder, self._stores = monkeypatch, folder, 0
        self.start_with(database)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True, request_handler=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.uri = f"http://127.0.0.1:{self._server.server_port}"

    def start_with(self, database: bytes) -> None:
        """As after a restart with another database."""
        from mlflow.server import (
            ARTIFACT_ROOT_ENV_VAR,
            ARTIFACTS_DESTINATION_ENV_VAR,
            BACKEND_STORE_URI_ENV_VAR,
            SERVE_ARTIFACTS_ENV_VAR,
            handlers,
        )

        self._stores += 1
        self.database = self._folder / f"server-{self._stores}.db"
        self.database.write_bytes(database)
        settings = {
            BACKEND_STORE_URI_ENV_VAR: f"sqlite:///{self.database}",
            ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
            ARTIFACTS_DESTINATION_ENV_VAR: str(self._folder / f"served-{self._stores}"),
            SERVE_ARTIFACTS_ENV_VAR: "true",
        }
        for key, value in settings.items():
            self._monkeypatch.setenv(key, value)
        for name in ("_tracking_store", "_model_registry_store", "_artifact_repo"):
            self._monkeypatch.setattr(handlers, name, None)
        # the client is in this process, too, and must not take the server's store for its own
        self._monkeypatch.setattr(handlers.utils, "set_tracking_uri", lambda uri: None)
        self._monkeypatch.setattr(handlers.registry_utils, "set_registry_uri", lambda uri: None)

    def deliver(self) -> None:
        """What was held back is carried out."""
        held, self._held = self._held, []
        for environ in held:
            list(self._app(environ, lambda *_: None))

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def _app(self) -> Any:
        from mlflow.server import app

        return app

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        self.requests.append((method, path))
        if self.refuses(method, path):
            start_response("413 Content Too Large", [])
            return [b"too large"]
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if self.holds_back(method, path):
            self._held.append(environ)
            return self._hang_up(environ)
        answer = self._app(environ, start_response)
        if self.loses_answer(method, path):
            list(answer)
            return self._hang_up(environ)
        return answer

    @staticmethod
    def _hang_up(environ: dict[str, Any]) -> Any:
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        raise ConnectionError("hung up")
