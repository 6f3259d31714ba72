"""What a stage takes is its own, whatever the process did before."""

import sys
import threading

import pytest
import torch

from fashion_sweep.rehearsal import meter as meters
from fashion_sweep.rehearsal.meter import Meter

SMALL, MANY = 2**18, 600  # floats a tensor: 1 MiB each, which glibc keeps when they are freed


def allocate() -> list[torch.Tensor]:
    return [torch.ones(SMALL) for _ in range(MANY)]


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of other systems gives memory back by itself")
def test_a_stage_after_one_of_the_same_size_adds_as_much(tmp_path):
    torch.ones(20 * SMALL)  # from here on glibc keeps what is smaller
    meter = Meter("cpu", lambda stage: None, tmp_path / "log.txt")
    kept = []
    for name in ("first", "second"):
        with meter.watching(), meter.stage(name):
            held = allocate()
            kept.append(held[-1])  # as what stays in use lies above what is freed
            del held
    added = [stage.peak_rss - stage.started_rss for stage in meter.stages]
    assert added[1] > 0.8 * added[0]


def test_a_stage_that_takes_long_is_told_of_while_it_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(meters, "SAY_EVERY_S", 0.1)
    heard, twice = [], threading.Event()

    def hear(stage):
        heard.append((stage.name, stage.going, stage.seconds))
        if len(heard) == 2:
            twice.set()

    meter = Meter("cpu", hear, tmp_path / "log.txt")
    with meter.watching(), meter.stage("long"):
        assert twice.wait(timeout=30)
    names, going, seconds = zip(*heard, strict=True)
    assert set(names) == {"long"}
    assert going[0]
    assert not going[-1]
    assert 0.1 < seconds[0] < seconds[1] <= seconds[-1]
