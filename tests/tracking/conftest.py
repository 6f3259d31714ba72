"""A store of each test's own, in a file or behind a server."""

import pytest

from tests.tracking.faulty_server import FaultyServer


@pytest.fixture(scope="session")
def initialised(tmp_path_factory):
    """An empty store; making one takes seconds."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path.read_bytes()


@pytest.fixture
def store(initialised, tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_SWEEP_RUNS", str(tmp_path))
    (tmp_path / "mlflow.db").write_bytes(initialised)
    return tmp_path


@pytest.fixture
def server(initialised, tmp_path, monkeypatch):
    server = FaultyServer(monkeypatch, tmp_path, initialised)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    yield server
    server.stop()
