"""The drills' own eyes: what was made again though it was finished is seen."""

import os

import pytest

from drills.ledger import Finished
from drills.sweep_run import TRIALS, SweepRun

FIRST = TRIALS[0]


@pytest.fixture
def run(tmp_path):
    """One trial at step 8 of its second attempt, the other judged in part; a shard of the cache."""
    run = SweepRun(tmp_path, "mine")
    for trial_id, log in zip(TRIALS, ("trains from step 0 of 24 on\n", "images 0 to 15 are judged\n"), strict=True):
        trial = run.trial(trial_id)
        for folder in (trial.checkpoints, trial.judged("fashion"), trial.adapter.parent):
            folder.mkdir(parents=True)
        trial.log.write_text(log)
    (run.trial(FIRST).checkpoints / "00000006.safetensors").touch()
    (run.trial(TRIALS[1]).judged("fashion") / "00000000.safetensors").touch()
    run.trial(TRIALS[1]).adapter.touch()
    (tmp_path / "cache" / "images-1").mkdir(parents=True)
    (tmp_path / "cache" / "images-1" / "00000.safetensors").touch()
    return run


def say(run: SweepRun, trial_id: str, text: str) -> None:
    with run.trial(trial_id).log.open("a") as log:
        log.write(text)


def test_what_goes_on_from_where_it_stood_is_not_made_again(run):
    finished = Finished.now(run)
    say(run, FIRST, "trains from step 6 of 24 on\n")
    say(run, TRIALS[1], "images 16 to 31 are judged\n")
    assert finished.made_again(run) == []


def test_each_kind_of_finished_work_is_seen_when_it_is_made_again(run):
    finished = Finished.now(run)
    say(run, FIRST, "trains from step 0 of 24 on\n")
    say(run, TRIALS[1], "images 0 to 15 are judged\n")
    for path in (run.trial(TRIALS[1]).adapter, run.root / "cache" / "images-1" / "00000.safetensors"):
        os.utime(path, ns=(0, 0))
    assert sorted(finished.made_again(run)) == [
        "00000.safetensors made again",
        "pytorch_lora_weights.safetensors made again",
        f"{FIRST}: step 0 again, past 6",
        f"{TRIALS[1]}: images from 0 judged again",
    ]
