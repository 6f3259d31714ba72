"""A package with entry points, as pip would install one beside fashion_sweep."""

import sys
from pathlib import Path

import pytest

from fashion_sweep.doors import ARCHITECTURES


@pytest.fixture(scope="module")
def _flow_dit_installed():
    sys.path.insert(0, str(Path(__file__).parent))
    ARCHITECTURES.__dict__.pop("places", None)
    yield
    sys.path.pop(0)
    ARCHITECTURES.__dict__.pop("places", None)
