"""What the desk gives to lanes, in which order, and what becomes of it when a lane is gone; without Ray's processes."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from fashion_sweep.cluster import desk as module
from fashion_sweep.cluster.desk import Desk
from fashion_sweep.cluster.piece import Chunk, HelpPiece, TrialPiece, to_judge

NEVER = 1000.0
"""Seconds that a lane may be idle."""


def trial(name: str) -> TrialPiece:
    return TrialPiece(name, function=("module", "function"), trial=name)


class Office:
    """A desk, called as if from other processes, one call after another."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.loop = asyncio.new_event_loop()

    def __call__(self, name: str, *arguments: Any) -> Any:
        call: Awaitable[Any] = getattr(self.desk, name)(*arguments)
        return self.loop.run_until_complete(call)

    def ask(self, *names: str) -> None:
        for name in names:
            self("ask", name, [trial(name)])

    def next(self, lane: str, idle_s: float = NEVER) -> Any:
        piece = self("next_piece", lane, idle_s)
        return getattr(piece, "owner", piece)


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> Office:
    monkeypatch.setattr(module, "WAIT_S", 0.01)
    return Office()


def test_a_trial_that_is_trained_makes_way_for_those_that_are_not(office: Office):
    office.ask("a", "b")
    assert office.next("one") == "a"
    assert office("others_wait")
    office("put_behind", "one")
    assert [office.next("one"), office.next("two")] == ["b", "a"]
    assert not office("others_wait")


def test_trainings_come_before_further_looks_and_help_after_them(office: Office):
    look = to_judge("a", (("fashion", 512),), ("module", "function"))
    office("ask", look.owner, [look])
    office.ask("b")
    assert [office.next("one"), office("next_piece", "two", NEVER)] == ["b", look]
    office("share", "two", "fashion:8", 4)
    assert office("next_piece", "three", NEVER) == HelpPiece(look, "fashion:8")


def test_a_look_whose_lane_has_died_waits_behind_trainings_too(office: Office):
    look = to_judge("a", (("fashion", 512),), ("module", "function"))
    office("ask", look.owner, [look])
    assert office("next_piece", "one", NEVER) == look
    office.ask("b", "c")
    _, piece = office("leave", "one")
    office("try_again", piece)
    assert office.next("two") == "b"
    assert office("others_wait")
    assert [office.next("three"), office("next_piece", "four", NEVER)] == ["c", look]


def test_a_trial_whose_lane_has_died_goes_before_those_that_wait(office: Office):
    office.ask("a", "b", "c")
    office.next("one")
    _, piece = office("leave", "one")
    office("try_again", piece)
    assert [office.next(lane) for lane in ("two", "three", "four")] == ["a", "b", "c"]


def test_the_next_look_of_a_trial_is_another_piece_though_its_lane_still_has_the_last(office: Office):
    first, second = (to_judge("a", (("fashion", images),), ("module", "function")) for images in (512, 1024))
    office("ask", first.owner, [first])
    assert office("next_piece", "one", NEVER) == first
    office("report", "one", {"done": True})
    office("take_back", first.owner)
    office("ask", second.owner, [second])
    assert [office("next_piece", "one", NEVER), office("next_piece", "two", NEVER)] == [second, ""]


def test_a_trial_is_carried_out_once_however_often_it_is_asked_for(office: Office):
    office.ask("a", "a")
    assert [office.next("one"), office.next("two")] == ["a", ""]
    office("take_back", "a")
    office.ask("a")  # whoever asked first has died, and the lane goes on with it
    assert office.next("two") == ""


def test_what_is_taken_back_is_not_begun_and_a_lane_that_works_on_it_is_told(office: Office):
    office.ask("a", "b")
    assert office.next("one") == "a"
    office("take_back", "b")
    assert office.next("two") == ""
    assert office("is_wanted", "one")
    office("take_back", "a")
    assert not office("is_wanted", "one")


def test_reports_go_to_whoever_asked_and_end_with_the_last(office: Office):
    office.ask("a")
    office.next("one")
    office("report", "one", {"step": 1})
    office("report", "one", {"step": 0, "done": True})
    office("report", "one", {"step": 2})
    reports = [{"step": 1}, {"step": 0, "done": True}, None]
    assert [office("next_report", "a", heard) for heard in range(3)] == reports
    assert [office("next_report", "a", heard) for heard in range(3)] == reports  # to a process that has begun anew


def test_a_lane_ends_when_it_was_idle_or_when_nothing_will_come(office: Office):
    assert office.next("one", 0.0) is None
    assert office.next("two") == ""
    office("close")
    assert office.next("two") is None


def test_a_free_lane_helps_until_nothing_is_left_or_another_trial_is_to_be_trained(office: Office):
    office.ask("a")
    office.next("one")
    office("share", "one", "fashion", 4)
    assert office("next_chunk", "one", "fashion") == Chunk(0)
    assert office("next_piece", "two", NEVER) == HelpPiece(trial("a"), "fashion")
    assert office("next_chunk", "two", "fashion") == Chunk(1)
    assert office("next_chunk", "two", "fashion") == Chunk(2, finished=1)
    office.ask("b")
    assert office("next_chunk", "two", "fashion") == Chunk(None, is_over=True)
    assert office.next("two") == "b"
    assert office("next_chunk", "one", "fashion") == Chunk(3, finished=3)
    assert office("next_chunk", "one", "fashion").is_over


def test_what_a_helper_had_when_it_died_is_done_by_the_lane_that_leads_and_nobody_helps_any_more(office: Office):
    office.ask("a")
    office.next("one")
    office("share", "one", "fashion", 2)
    office.next("two")
    assert office("next_chunk", "two", "fashion").number == 0
    assert office("next_chunk", "one", "fashion").number == 1
    assert office("next_chunk", "one", "fashion") == Chunk(None, finished=1)  # it waits for the other one
    office("leave", "two")
    assert office.next("three") == ""
    assert office("next_chunk", "one", "fashion").number == 0
    assert office("next_chunk", "one", "fashion") == Chunk(None, finished=2, is_over=True)


def test_when_the_lane_that_leads_is_gone_those_that_help_leave_and_another_one_begins_anew(office: Office):
    office.ask("a")
    office.next("one")
    office("share", "one", "fashion", 2)
    office.next("two")
    office("next_chunk", "two", "fashion")
    _, piece = office("leave", "one")
    assert office("next_chunk", "two", "fashion").is_over
    office("try_again", piece)
    assert office.next("two") == "a"
    office("share", "two", "fashion", 2)
    assert office("next_chunk", "two", "fashion") == Chunk(0)


def test_as_many_lanes_are_wanted_as_would_have_something_to_do(office: Office):
    assert office("standing", NEVER).wanted == 0
    office.ask("a", "b")
    assert office("standing", NEVER).wanted == 2
    office.next("one")
    office("put_behind", "one")
    assert office("standing", NEVER).wanted == 2
    office.next("one")
    office.next("two")
    office("share", "two", "fashion", 2)
    assert (office("standing", NEVER).wanted, office("standing", NEVER).arrived) == (3, {"one", "two"})


def test_a_lane_hangs_when_none_of_its_workers_gives_a_sign(office: Office, monkeypatch: pytest.MonkeyPatch):
    office.ask("a")
    office.next("one")
    now = module.time.monotonic()
    office("sign", "one", 0, "first")
    office("sign", "one", 1, "second")
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 100)
    office("sign", "one", 1, "second")
    assert office("standing", 50.0).silent == []  # the first one may be waiting for the second
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 200)
    assert office("standing", 50.0).silent == [("one", trial("a"), ["first", "second"])]


def test_a_lane_that_hangs_before_it_has_begun_is_noticed(office: Office, monkeypatch: pytest.MonkeyPatch):
    office("sign", "one", 0, "worker")
    office.ask("a")
    office.next("one")
    now = module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 100)
    assert office("standing", 50.0).silent == [("one", trial("a"), ["worker"])]


def test_a_lane_that_hangs_before_it_asks_for_work_is_noticed(office: Office, monkeypatch: pytest.MonkeyPatch):
    office("sign", "one", 0, "worker")
    now = module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 100)
    assert office("standing", 50.0).silent == [("one", None, ["worker"])]


def test_whoever_waits_is_woken_however_many_change_something_at_once(office: Office, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "WAIT_S", 5.0)

    async def story() -> Any:
        waiting = asyncio.ensure_future(office.desk.next_piece("one", NEVER))
        await asyncio.sleep(0)
        asking = asyncio.ensure_future(office.desk.ask("a", [trial("a")]))
        reports = asyncio.ensure_future(office.desk.next_report("a", 0))
        await asking
        piece = await asyncio.wait_for(waiting, 1.0)
        reports.cancel()
        return piece

    assert office.loop.run_until_complete(story()) == trial("a")


def test_a_trial_whose_lane_has_died_is_queued_once_though_it_is_asked_for_again(office: Office):
    office.ask("a")
    office.next("one")
    _, piece = office("leave", "one")
    office("take_back", "a")
    office.ask("a")
    office("try_again", piece)
    assert [office.next("two"), office.next("three")] == ["a", ""]


def test_shared_work_that_is_taken_back_does_not_pass_for_finished(office: Office):
    office.ask("a")
    office.next("one")
    office("share", "one", "fashion", 4)
    office("next_chunk", "one", "fashion")
    office("take_back", "a")
    office.ask("a")
    assert office("next_chunk", "one", "fashion").is_lost
    assert office.next("one") == "a"  # from what there is


def test_a_call_that_outlives_its_lane_takes_no_work(office: Office, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "WAIT_S", 10.0)

    async def story() -> tuple[Any, Any]:
        waiting = asyncio.ensure_future(office.desk.next_piece("one", NEVER))
        await asyncio.sleep(0)
        await office.desk.leave("one")
        await office.desk.ask("a", [trial("a")])
        return await waiting, await office.desk.next_piece("two", NEVER)

    assert office.loop.run_until_complete(story()) == (None, trial("a"))
    office("sign", "one", 0, "late")
    assert office("standing", NEVER).arrived == {"two"}


def test_a_trial_that_is_asked_for_again_while_its_lane_leaves_it_goes_on(office: Office):
    office.ask("a")
    office.next("one")
    office("take_back", "a")
    office.ask("a")  # after the lane has heard that it is wanted no more
    assert office.next("one") == "a"


def test_reports_that_nobody_fetches_are_noticed(office: Office, monkeypatch: pytest.MonkeyPatch):
    office.ask("a")
    office.next("one")
    office("report", "one", {"step": 1})
    now = module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 100)
    assert office("standing", 50.0).unheard == ["a"]
    office("next_report", "a", 0)
    assert office("standing", 50.0).unheard == []  # whoever asks does not stand still, though it may be far behind
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 200)
    assert office("standing", 50.0).unheard == ["a"]  # for the report may not have arrived
    office.ask("a")
    assert office("standing", 50.0).unheard == []  # a process that has begun anew has the time that it needs
    monkeypatch.undo()
    monkeypatch.setattr(module, "WAIT_S", 0.01)
    office("next_report", "a", 1)
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 400)
    assert office("standing", 50.0).unheard == []


def test_a_lane_that_was_told_to_end_and_has_not_is_noticed(office: Office, monkeypatch: pytest.MonkeyPatch):
    assert office.next("one", 0.0) is None
    now = module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 100)
    assert office("standing", 50.0).lingering == ["one"]
    office("leave", "one")
    assert office("standing", 50.0).lingering == []
