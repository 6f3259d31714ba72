import tempfile
from pathlib import Path

import pytest

from fashion_sweep.cluster.capacity import largest_nodes, ray_address
from fashion_sweep.cluster.logs import one_line
from fashion_sweep.cluster.session import _short_temporary_folder


def test_nodes_that_an_autoscaler_may_still_start_count() -> None:
    types = {
        "head": {"resources": {"CPU": 4}, "max_workers": 0},
        "small": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 3},
        "large": {"resources": {"CPU": 64, "GPU": 8}, "max_workers": 2},
    }
    nodes = largest_nodes({"head_node_type": "head", "available_node_types": types, "max_workers": 3})
    assert [node.get("GPU", 0) for node in nodes] == [0, 8, 8, 1]


@pytest.mark.parametrize(("said", "address"), [("", "local"), ("10.0.0.1:6379", "10.0.0.1:6379"), (None, "local")])
def test_an_empty_address_of_ray_is_this_machine(
    said: str | None, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if said is not None:
        monkeypatch.setenv("RAY_ADDRESS", said)
    assert ray_address() == address


def test_sockets_lie_in_a_shorter_folder_where_the_temporary_one_has_a_long_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray's dashboard has some there; a socket's path has 107 bytes at most."""
    monkeypatch.setattr(tempfile, "tempdir", "/" + 110 * "x")
    assert _short_temporary_folder(Path("/tmp/own")) == {"TMPDIR": "/tmp/own"}
    monkeypatch.setattr(tempfile, "tempdir", "/scratch/me")
    assert _short_temporary_folder(Path("/tmp/own")) == {}


def test_an_error_whose_first_line_only_announces_the_cause_is_told_with_it() -> None:
    said = "The last 20 lines of dashboard.log:\n  File x.py\nOSError: AF_UNIX path too long\n"
    assert one_line(OSError(said)) == "OSError: The last 20 lines of dashboard.log: OSError: AF_UNIX path too long"
    assert one_line(OSError("one\ntwo")) == "OSError: one"
