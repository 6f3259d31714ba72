import io
import re
import time

import pytest
from rich.console import Console

from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.report import live
from fashion_sweep.report.live import LiveTable
from fashion_sweep.run.retries import Attempts
from tests.report.synthetic_run import finish_trial, judgement, make_run, set_status

RANK_1, RANK_2 = TrialSpec.of({"unet": 1}), TrialSpec.of({"unet": 2})
IDS = [RANK_1.trial_id, RANK_2.trial_id]


def console(terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, color_system=None)


def printed(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def test_without_a_terminal_each_change_of_state_and_each_quarter_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "REFRESH_S", 0.01)
    run, to = make_run(tmp_path / "run"), console(terminal=False)
    with LiveTable(run, IDS, console=to):
        for step, line in ((1, "started"), (2, "started"), (76, "76/300"), (80, "76/300"), (150, "150/300")):
            set_status(run, RANK_1, "running", stage="training", step=step, steps=300, loss=0.25)
            while line not in printed(to):
                time.sleep(0.01)
        set_status(run, RANK_1, "trained", step=300, steps=300, loss=0.25)
        while "trained" not in printed(to):
            time.sleep(0.01)
        for state in ("starting", "running"):
            set_status(run, RANK_1, state, stage="loading", step=300, steps=300, loss=0.25)
            time.sleep(0.1)
        for images, line in ((0, "150/300"), (192, "192/256")):
            set_status(run, RANK_1, "running", stage="judging", loss=0.25, images=images, images_total=256)
            while line not in printed(to):
                time.sleep(0.01)
        finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9)})
        set_status(run, RANK_2, "failed", error="Traceback …\nloss=nan at step 12")
    assert all(re.match(r"\d\d:\d\d:\d\d unet", line) for line in printed(to).splitlines())
    assert [line[9:] for line in printed(to).splitlines()] == [
        "unet-r1: started",
        "unet-r1: training 76/300 steps, loss 0.2500",
        "unet-r1: training 150/300 steps, loss 0.2500",
        "unet-r1: trained",
        "unet-r1: judging 192/256 images",
        "unet-r1: judged, 256 images: FID∞ 16.90, CLIP score 21.00, 1m 14s",
        "unet-r2: failed: loss=nan at step 12",
    ]


def test_table_shows_stage_counts_loss_and_the_time_left_at_the_pace_seen(tmp_path):
    run, to = make_run(tmp_path / "run"), console(terminal=False)
    shown = LiveTable(run, IDS, console=to)
    set_status(run, RANK_1, "running", stage="training", step=100, steps=300, loss=0.25, time=1000.0)
    shown.table()
    set_status(run, RANK_1, "running", stage="training", step=150, steps=300, loss=0.2, time=1010.0)
    to.print(shown.table())
    row = next(line for line in printed(to).splitlines() if "unet-r1" in line)
    assert "training" in row
    assert "150/300 steps" in row
    assert "0.2000" in row
    assert row.rstrip().endswith("30.0s")


def test_elapsed_time_is_that_of_the_stages_not_of_what_was_between_attempts(tmp_path):
    run, to = make_run(tmp_path / "run"), console(terminal=False)
    stages = [["load", 1000.0, 1010.0], ["train", 9000.0, None]]
    set_status(run, RANK_1, "interrupted", stage="training", step=100, steps=300, time=9080.0, stages=stages)
    to.print(LiveTable(run, IDS, console=to).table())
    assert "1m 30s" in next(line for line in printed(to).splitlines() if "unet-r1" in line)


def test_table_counts_images_while_judging(tmp_path):
    run, to = make_run(tmp_path / "run"), console(terminal=False)
    set_status(run, RANK_1, "running", stage="judging", step=300, steps=300, images=64, images_total=256)
    to.print(LiveTable(run, IDS, console=to).table())
    assert "64/256 images" in printed(to)


def test_half_present_files_never_end_the_table(tmp_path):
    run, to = make_run(tmp_path / "run"), console(terminal=True)
    for trial_id, text in zip(IDS, ('{"state": "run', '["no object"]'), strict=True):
        run.trial(trial_id).root.mkdir(parents=True)
        run.trial(trial_id).status.write_text(text)
    with LiveTable(run, IDS, console=to):
        run.trial(IDS[0]).result.write_text("{")
    assert "waiting" in printed(to)
    LiveTable(run, IDS, console=console(terminal=False))._print_changes()


def test_a_judged_trial_that_goes_on_is_said_to(tmp_path):
    run, to = make_run(tmp_path / "run"), console(terminal=False)
    finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9)})
    with LiveTable(run, IDS, console=to):
        pass
    set_status(run, RANK_1, "running", further=True, stage="loading")
    with LiveTable(run, IDS, console=to):
        pass
    judged, further = (line[9:] for line in printed(to).splitlines())
    assert judged.startswith("unet-r1: judged, 256 images: ")
    assert further == "unet-r1: goes on in the race"


def test_what_ended_an_attempt_is_told_once_and_nothing_of_earlier_calls(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "REFRESH_S", 0.01)
    run, to = make_run(tmp_path / "run"), console(terminal=False)
    for error in ("of an earlier call", "the worker was killed"):
        attempts = Attempts(run.trial(RANK_1.trial_id))
        attempts.renew()
        attempts.begin(limit=3)
        attempts.fail(error)
    with LiveTable(run, IDS, console=to):
        while "an attempt ended" not in printed(to):
            time.sleep(0.01)
        time.sleep(0.05)
    assert [line[9:] for line in printed(to).splitlines()] == ["unet-r1: an attempt ended: the worker was killed"]


def test_a_result_means_done_whatever_a_killed_process_left_in_the_status(tmp_path):
    run, to = make_run(tmp_path / "run"), console(terminal=False)
    finish_trial(run, RANK_1, 9216, {"fashion": judgement(16.9)})
    set_status(run, RANK_1, "running", stage="judging", images=255, images_total=256)
    with LiveTable(run, IDS, console=to):
        pass
    assert "unet-r1: judged, 256 images: FID∞ 16.90" in printed(to)


def test_a_table_on_a_narrow_terminal_says_all_but_the_bar(tmp_path):
    run = make_run(tmp_path / "run")
    to = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    set_status(run, RANK_1, "running", stage="training", step=100, steps=300, loss=0.25, time=1000.0)
    to.print(LiveTable(run, IDS, titles={IDS[0]: "UNet rank 1"}, console=to).table())
    row = next(line for line in printed(to).splitlines() if "UNet rank 1" in line)
    assert all(part in row for part in ("training", "100/300 steps", "0.2500"))
    assert "…" not in printed(to)


def test_with_more_trials_than_lines_those_at_work_are_shown_and_the_others_counted(tmp_path):
    run = make_run(tmp_path / "run", settings=[f"sweep.trials=[{', '.join(f'{{unet: {n}}}' for n in range(1, 31))}]"])
    specs = [TrialSpec.of({"unet": rank}) for rank in range(1, 31)]
    for spec in specs[:5]:
        finish_trial(run, spec, 9216, {"fashion": judgement(16.9)})
    set_status(run, specs[20], "running", stage="training", step=1, steps=300)
    to = Console(file=io.StringIO(), force_terminal=True, width=120, height=14, color_system=None)
    ids = [spec.trial_id for spec in specs]
    to.print(LiveTable(run, ids, console=to)._fitting())
    assert [name for name in ids if f" {name} " in printed(to)] == [*ids[5:10], ids[20]]
    assert "and 19 waiting, 5 done" in printed(to) or "and 5 done, 19 waiting" in printed(to)


@pytest.mark.parametrize("terminal", [False, True])
def test_the_first_pictures_are_told_once_where_they_lie(tmp_path, monkeypatch, terminal):
    monkeypatch.setattr(live, "REFRESH_S", 0.01)
    run, to = make_run(tmp_path / "run"), console(terminal)
    with LiveTable(run, IDS, console=to):
        for spec in (RANK_2, RANK_1):
            preview = run.trial(spec.trial_id).preview
            preview.parent.mkdir(parents=True)
            set_status(run, spec, "running", stage="training", step=50, steps=300, loss=0.25)
            preview.write_bytes(b"a picture")
            time.sleep(0.1)
    told = [line for line in printed(to).splitlines() if "first pictures" in line]
    expected = f"first pictures, by {RANK_2.trial_id} while it trains: {run.trial(RANK_2.trial_id).preview}"
    assert len(told) == 1
    assert expected in told[0]
