"""A small Stable Diffusion 3 with random weights, on disk and loaded."""

import pytest

from fashion_sweep.models.sd3.config import SD3Config
from fashion_sweep.models.sd3.model import SD3Model
from tests.models.sd3.small import write_small


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> str:
    return write_small(tmp_path_factory.mktemp("sd3"))


@pytest.fixture(scope="session")
def sd3_config(base) -> SD3Config:
    return SD3Config(architecture="sd3", base=base, dtype="float32", attention="sdpa", max_sequence_length=12)


@pytest.fixture(scope="session")
def sd3(sd3_config) -> SD3Model:
    """Tests that change its weights load their own."""
    return SD3Model.load(sd3_config, "cpu")
