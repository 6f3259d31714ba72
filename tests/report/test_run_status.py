import fcntl
import io
import json

import pytest
from rich.console import Console

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.report.progress import progress
from fashion_sweep.report.run_status import show_standing, standing
from fashion_sweep.run.claim import is_claimed
from fashion_sweep.run.retries import Attempts
from tests.report.synthetic_run import finish_trial, judgement, make_run, set_status

DONE, RUNNING, FAILED = (TrialSpec.of({"unet": rank}) for rank in (1, 2, 4))


@pytest.fixture
def run(tmp_path):
    """One trial done, one running, one failed, two that have not begun."""
    run = make_run(tmp_path / "mine")
    finish_trial(run, DONE, 9216, {"fashion": judgement(16.9)})
    set_status(run, DONE, "running", stage="judging", images=224, images_total=256)  # as a killed process leaves it
    set_status(run, RUNNING, "running", stage="training", step=100, steps=300, loss=0.25, notes=["a note of it"])
    set_status(run, FAILED, "failed", error="TrialError: loss=nan at step 12, samples a.jpg")
    Attempts(run.trial(FAILED.trial_id)).fail("a worker was killed, or ran out of memory")
    lines = [
        "Traceback (most recent call last):",
        *(f"  line {i}" for i in range(20)),
        "\x1b[31mTrialError: loss=nan\x07",
    ]
    run.trial(FAILED.trial_id).log.write_text("\n".join(lines) + "\n")
    return run


def shown(run, going) -> str:
    to = Console(file=io.StringIO(), width=120, color_system=None)
    show_standing(run, going, to)
    return to.file.getvalue()


@pytest.mark.parametrize(("going", "state"), [(True, "running"), (False, "interrupted")])
def test_what_is_done_running_waiting_and_failed_is_told(run, going, state):
    told = json.loads(json.dumps(standing(run, going)))
    assert [trial["state"] for trial in told["trials"]] == ["done", state, "failed", "waiting", "waiting"]
    assert told["going"] == going
    assert (told["trials"][1]["step"], told["trials"][1]["steps"]) == (100, 300)
    assert told["trials"][2]["error"] == "TrialError: loss=nan at step 12, samples a.jpg"
    assert state in shown(run, going)


def test_a_failure_is_shown_with_earlier_ones_and_the_end_of_its_log_without_escapes(run):
    said = shown(run, going=False)
    assert "ago: a worker was killed, or ran out of memory" in said
    assert "UNet rank 2: a note of it" in said
    assert "    TrialError: loss=nan\n" in said
    assert "  line 19" in said
    assert "  line 3\n" not in said
    assert "\x1b" not in said


def test_the_way_on_is_told_where_nobody_works_on_a_run_that_is_not_over(run):
    assert "python -m fashion_sweep resume mine goes on" in shown(run, going=False)
    assert "resume" not in shown(run, going=True)


def test_what_a_run_does_while_no_trial_runs_is_told(run):
    with progress(run, Console(file=io.StringIO()), "encoding images", total=9) as advance:
        advance(4)
        assert "a process works on it: encoding images, 4 of 9" in shown(run, going=True)
        assert standing(run, going=True)["doing"] == "encoding images, 4 of 9"
        assert "encoding" not in shown(run, going=False)
    assert standing(run, going=True)["doing"] is None


def test_whether_somebody_works_on_a_run_is_known_from_its_lock(run):
    assert not is_claimed(run)
    with run.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert is_claimed(run)
    assert not is_claimed(run)
