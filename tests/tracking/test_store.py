"""Where the tracking store is."""

import pytest

from fashion_sweep.errors import ConfigError
from fashion_sweep.tracking.store import tracking_uri


@pytest.mark.parametrize("uri", ["127.0.0.1:5000", "mlflow.internal", "/shared/mlruns", "sqlite://mlflow.db"])
def test_an_address_without_scheme_is_a_mistake_that_names_the_variable(monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(ConfigError, match=r"MLFLOW_TRACKING_URI: .* is no address; write http://HOST:PORT"):
        tracking_uri()
