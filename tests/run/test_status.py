import time

import pytest

from fashion_sweep.run.paths import TrialPaths
from fashion_sweep.run.status import Status, read_status
from fashion_sweep.storage.files import read_json, write_json


def test_a_stage_is_timed_over_all_attempts_also_when_one_was_killed(tmp_path):
    paths = TrialPaths(tmp_path)
    first = Status(paths)
    with pytest.raises(KeyboardInterrupt), first.stage("train"):
        raise KeyboardInterrupt
    killed = read_json(paths.status)
    start = killed["stages"][0][1]
    write_json(paths.status, killed | {"time": start + 30})
    second = Status(paths)
    with second.stage("train"):
        time.sleep(0.01)
    assert second.seconds["train"] == pytest.approx(30.01, abs=0.2)
    assert second.seconds["judge"] == 0


def test_a_trial_that_waits_again_shows_nothing_of_its_earlier_failure(tmp_path):
    status = Status(TrialPaths(tmp_path))
    status.fail("ValueError: no")
    assert read_json(status.paths.status)["error"] == "ValueError: no"
    Status(TrialPaths(tmp_path)).queue()
    values = read_json(status.paths.status)
    assert values["state"] == "waiting"
    assert "error" not in values


def test_only_the_first_worker_writes(tmp_path):
    Status(TrialPaths(tmp_path), writes=False).fail("no")
    assert not TrialPaths(tmp_path).status.exists()


@pytest.mark.parametrize(
    "damage",
    ["{", "7", "[]", "null", '{"stages": 3}', '{"stages": [["train"]], "time": "noon"}', '{"notes": {}, "step": "x"}'],
)
def test_a_status_of_another_shape_is_read_as_far_as_it_goes_and_written_anew(tmp_path, damage):
    paths = TrialPaths(tmp_path)
    paths.status.write_text(damage)
    with Status(paths).stage("train", step=3):
        assert read_status(paths)["step"] == 3
    assert Status(paths).seconds["train"] < 5


def test_a_stage_without_the_time_of_the_last_word_has_taken_none(tmp_path):
    paths = TrialPaths(tmp_path)
    write_json(paths.status, {"state": "running", "stages": [["train", 12.0, None]]})
    assert Status(paths).seconds["train"] == 0
