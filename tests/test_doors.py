"""Entry points of packages that are installed beside this one, as far as their mistakes go."""

import pytest

from fashion_sweep.doors import ADAPTER_KINDS, METRICS
from fashion_sweep.errors import ConfigError


@pytest.mark.parametrize(
    ("place", "reason"),
    [("no_such_module:X", "ModuleNotFoundError"), ("json:no_such_thing", "AttributeError"), ("json", "AttributeError")],
)
@pytest.mark.parametrize("door", [METRICS, ADAPTER_KINDS], ids=lambda door: door.group)
def test_an_entry_point_that_cannot_be_loaded_is_one_line_with_its_place(door, place, reason, monkeypatch):
    monkeypatch.setitem(door.places, "mine", place)
    with pytest.raises(ConfigError, match=f"{door.kind} 'mine' of an installed package cannot be loaded from {place}"):
        door["mine"]
    with pytest.raises(ConfigError, match=reason):
        door["mine"]


def test_a_name_that_is_ours_stays_ours(monkeypatch):
    monkeypatch.setitem(METRICS.places, "fid", "json:dumps")
    assert METRICS["fid"].title == "FID"
