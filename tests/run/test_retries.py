import pytest

from fashion_sweep.run.paths import TrialPaths
from fashion_sweep.run.retries import Attempts, clear_away, queue
from fashion_sweep.storage.files import read_json


@pytest.fixture
def paths(tmp_path) -> TrialPaths:
    return TrialPaths(tmp_path)


def checkpoint(paths, step):
    paths.checkpoints.mkdir(exist_ok=True)
    (paths.checkpoints / f"{step:08d}.safetensors").touch()


def begun(paths, limit=1) -> bool:
    """By another process each time."""
    return Attempts(paths).begin(limit)


def failed(paths, **how):
    Attempts(paths).fail("ValueError: no", **how)


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_a_trial_that_gets_no_further_is_begun_again_as_often_as_allowed(paths, limit):
    begins = 0
    while begun(paths, limit):
        begins += 1
        failed(paths)
    assert begins == limit + 1


@pytest.mark.parametrize("what", ["a checkpoint", "the adapter", "a judged batch"])
def test_a_trial_that_gets_further_may_fail_anew(paths, what):
    failed(paths)
    failed(paths)
    assert not begun(paths)
    Attempts(paths).renew()
    failed(paths)
    if what == "a checkpoint":
        checkpoint(paths, 500)
    elif what == "the adapter":
        paths.adapter.parent.mkdir()
        paths.adapter.touch()
    else:
        (paths.judged("fashion")).mkdir(parents=True)
        (paths.judged("fashion") / "000000.safetensors").touch()
    failed(paths)
    assert begun(paths)
    failed(paths)
    assert not begun(paths)


def test_lost_nodes_do_not_count(paths):
    for _ in range(5):
        assert begun(paths, limit=0)
        failed(paths, counts=False)
    assert begun(paths, limit=0)


def test_what_does_not_count_ends_a_trial_at_last(paths):
    for _ in range(30):
        failed(paths, counts=False)
    assert not begun(paths)
    queue(paths)
    failed(paths, counts=False)
    assert begun(paths)


def test_what_would_come_again_ends_a_trial_at_once(paths):
    failed(paths, final=True)
    assert not begun(paths, limit=5)
    assert Attempts(paths).last_error == "ValueError: no"


def test_an_attempt_whose_process_died_is_known_and_may_be_begun_again(paths):
    assert begun(paths, limit=0)
    assert begun(paths, limit=0)
    (failure,) = Attempts(paths).failures
    assert failure["error"] == "the trial's own process died"


def test_a_trial_that_waits_anew_has_all_its_attempts_again_and_still_tells_of_the_earlier_ones(paths):
    failed(paths, final=True)
    queue(paths)
    assert read_json(paths.status)["state"] == "waiting"
    assert begun(paths)
    assert len(Attempts(paths).failures) == 1


def test_what_an_interrupt_left_going_is_no_failure(paths):
    begun(paths)
    queue(paths)
    begun(paths)
    assert Attempts(paths).failures == []


def test_an_attempt_that_succeeded_is_no_failure_for_the_next(paths):
    attempts = Attempts(paths)
    attempts.begin(1)
    attempts.succeed()
    assert begun(paths)
    assert Attempts(paths).failures == []


@pytest.mark.parametrize(
    "damage", ["{", "[]", "7", '{"failures": [{"error": "no time"}]}', '{"failures": {}, "going": 3}']
)
def test_a_damaged_record_costs_nothing_but_the_count(paths, damage):
    paths.attempts.write_text(damage)
    assert begun(paths)
    assert Attempts(paths).failures == []


def test_what_a_trial_that_is_over_no_longer_needs_is_removed(paths):
    checkpoint(paths, 500)
    paths.judged("fashion").mkdir(parents=True)
    paths.result.touch()
    clear_away(paths)
    assert [path.name for path in paths.root.iterdir()] == ["result.json"]
