import json
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import cluster_jobs as jobs
import psutil
import pytest
import ray

from fashion_sweep.cluster import lanes as lanes_module
from fashion_sweep.cluster.lanes import RETRIES, Lanes, lanes
from fashion_sweep.cluster.piece import TrialPiece
from fashion_sweep.cluster.session import ray_session
from fashion_sweep.cluster.shards import map_shards
from fashion_sweep.cluster.tune import DRIVER, run_trials
from fashion_sweep.cluster.worker import TrainFn
from fashion_sweep.config.preset import Resources
from fashion_sweep.errors import DataError, RunError
from fashion_sweep.run.paths import RunPaths, TrialPaths
from fashion_sweep.run.retries import Attempts

ONE_CPU = Resources(max_failures=0)
TRIALS = ("sound", "broken", "dies-once")
pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunPaths]:
    run = RunPaths(tmp_path_factory.mktemp("run"))
    before = psutil.Process().children(recursive=True)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", jobs.SEARCH_PATH)
        environment.setattr(ray, "init", partial(ray.init, num_gpus=1))  # as Ray counts them; nothing computes on it
        with ray_session(run, Resources(workers_per_trial=2)):  # 2 CPUs at least, on any machine
            yield run
    left = [process for process in psutil.Process().children(recursive=True) if process not in before]
    assert [process.cmdline() for process in left] == []


def trained(run: RunPaths, resources: Resources, names: Sequence[str], function: TrainFn) -> dict[str, str | None]:
    with lanes(run, resources) as kept:
        return run_trials(kept, names, function)


def mapped(
    run: RunPaths, function: Any, shards: Sequence[Any], resources: Resources, on_done: Any = print
) -> list[Any]:
    with lanes(run, resources) as kept:
        return map_shards(function, shards, kept, on_done)


@pytest.fixture(scope="module")
def outcome(session: RunPaths) -> dict[str, str | None]:
    return trained(session, Resources(max_failures=1), TRIALS, jobs.train)


def test_trials_that_fit_run_side_by_side_and_one_that_fails_leaves_the_others_alone(
    outcome: dict[str, str | None],
) -> None:
    assert outcome == dict.fromkeys(TRIALS) | {"broken": "ValueError: the loss is a banana"}


def test_what_made_each_attempt_fail_is_kept(session: RunPaths, outcome: object) -> None:
    errors = {name: [one["error"] for one in Attempts(session.trial(name)).failures] for name in TRIALS}
    assert errors == {
        "sound": [],
        "broken": ["ValueError: the loss is a banana"] * 2,
        "dies-once": ["a worker was killed, or ran out of memory"],
    }


@pytest.fixture(scope="module")
def outcome_beside_a_hanging_trial(session: RunPaths) -> dict[str, str | None]:
    resources = Resources(stall_minutes=12 / 60, max_failures=3)  # on a busy machine a start may stall, too
    return trained(session, resources, ["hangs-once", "nan"], jobs.refuse_or_hang_once)


def test_an_error_that_would_come_again_is_not_tried_again(
    session: RunPaths, outcome_beside_a_hanging_trial: dict[str, str | None]
) -> None:
    assert outcome_beside_a_hanging_trial["nan"] == "TrialError: loss=nan at step 1, samples a.jpg"
    assert session.trial("nan").log.read_text().count("Traceback") == 1


def test_a_trial_that_hangs_is_ended_and_begun_again_and_its_log_says_where(
    session: RunPaths, outcome_beside_a_hanging_trial: dict[str, str | None]
) -> None:
    assert outcome_beside_a_hanging_trial["hangs-once"] is None
    assert "stalled: no sign of life for" in Attempts(session.trial("hangs-once")).failures[0]["error"]
    assert "in refuse_or_hang_once" in session.trial("hangs-once").log.read_text()


def test_a_process_of_tune_that_hangs_is_begun_anew_and_the_trial_is_not(session: RunPaths) -> None:
    trial_id, resources = "freezes", Resources(stall_minutes=12 / 60, max_failures=3)
    assert trained(session, resources, [trial_id], jobs.freeze_once) == {trial_id: None}
    assert Attempts(session.trial(trial_id)).failures == []


@pytest.fixture(scope="module")
def pair(session: RunPaths) -> TrialPaths:
    """A trial of two workers."""
    resources = Resources(stall_minutes=10 / 60, workers_per_trial=2)
    assert trained(session, resources, ["pair"], jobs.work_together) == {"pair": None}
    return session.trial("pair")


def test_a_worker_that_waits_for_another_which_works_does_not_hang(pair: TrialPaths) -> None:
    assert Attempts(pair).failures == []


@pytest.mark.parametrize("trial_id", ["broken", "dies-once"])
def test_a_trial_that_fails_is_tried_again_as_often_as_allowed(
    session: RunPaths, outcome: object, trial_id: str
) -> None:
    assert session.trial(trial_id).log.read_text().count(f"{trial_id} runs as rank 0") == 2


@pytest.mark.parametrize("trial_id", TRIALS)
def test_reports_of_a_trial_reach_tune(session: RunPaths, outcome: object, trial_id: str) -> None:
    (results,) = session.ray.glob(f"tune-*/{trial_id}/result.json")
    reports = [json.loads(line) for line in results.read_text().splitlines()]
    different = dict.fromkeys((report["step"], report["loss"]) for report in reports if "loss" in report)
    assert list(different)[:2] == [(1, 10.0), (2, 5.0)]


@pytest.mark.parametrize("trial_id", TRIALS)
def test_a_trials_log_has_what_its_worker_and_its_children_said(
    session: RunPaths, outcome: object, trial_id: str
) -> None:
    log = session.trial(trial_id).log.read_text()
    assert f"{trial_id} runs as rank 0 of 1 on cpu" in log
    assert "a child process speaks" in log
    assert ("Traceback" in log and "cluster_jobs.py" in log) == (trial_id == "broken")


def test_workers_of_a_trial_have_ranks_and_talk_to_each_other(session: RunPaths, pair: TrialPaths) -> None:
    assert [(session.root / f"sum-{rank}").read_text() for rank in (0, 1)] == ["2 1", "2 1"]


def test_workers_go_by_what_the_first_of_them_finds(session: RunPaths, pair: TrialPaths) -> None:
    assert [(session.root / f"agreed-{rank}").read_text() for rank in (0, 1)] == ["7", "7"]


def test_a_lane_that_is_free_helps_and_what_it_had_when_it_died_is_done(session: RunPaths) -> None:
    assert trained(session, Resources(), ["shared"], jobs.share) == {"shared": None}
    assert len(list(session.root.glob("chunk-*"))) == 6
    assert (session.root / "helper").exists()
    assert Attempts(session.trial("shared")).failures == []


def test_a_run_ends_where_no_lane_can_start(session: RunPaths) -> None:
    with lanes(session, Resources(), imports="nothing_of_that_name") as kept, pytest.raises(RunError) as ended:
        map_shards(jobs.square, range(2), kept, lambda _: None)
    assert "lanes in a row failed as they started" in str(ended.value)
    assert "nothing_of_that_name" in str(ended.value)
    deadline = time.monotonic() + 30
    while left := processes_named("TrainController"):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def processes_named(part: str) -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it may end meanwhile
            found += [process] if part in " ".join(process.cmdline()) else []
    return found


def test_lanes_that_wait_for_a_place_are_ended_while_others_suffice(
    session: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes_module, "trials_that_fit", lambda resources: 4)  # as an autoscaler might make room for
    monkeypatch.setattr(lanes_module, "IDLE_S", 1.0)
    with lanes(session, Resources()) as kept:
        kept.start(4)
        deadline = time.monotonic() + 60
        while len(kept._going) > 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert map_shards(jobs.square, range(2), kept, lambda _: None) == [0, 1]
    waiting = [group for group in ray.util.placement_group_table().values() if group["state"] == "PENDING"]
    assert waiting == []  # or they would get room one day, and keep it


def test_a_lane_whose_supervisor_stands_still_is_ended_with_the_run(
    session: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes_module, "PARTING_S", 1.0)
    with lanes(session, Resources()) as kept:
        map_shards(jobs.square, range(2), kept, lambda _: None)
        for process in processes_named("TrainController"):
            process.suspend()
    assert not any(thread.is_alive() for thread in kept._going.values())


class TestOneLane:
    """That stays from one test to the next."""

    @pytest.fixture(scope="class")
    def kept(self, session: RunPaths) -> Iterator[Lanes]:
        with lanes(session, Resources(max_concurrent_trials=1)) as kept:
            yield kept

    def test_trials_are_trained_before_others_are_judged(self, session: RunPaths, kept: Lanes) -> None:
        pieces = [TrialPiece(name, (jobs.__name__, "make_way"), name) for name in ("first", "second")]
        for piece in pieces:
            ray.get(kept.desk.ask.remote(piece.owner, [piece]))
        for piece in pieces:
            while not (ray.get(kept.desk.next_report.remote(piece.owner, 0)) or {}).get("done"):
                pass
        order = (session.root / "order").read_text().splitlines()
        assert order == ["train first", "train second", "judge second", "judge first"]

    def test_a_trial_that_is_stopped_leaves_its_lane_within_a_step(self, session: RunPaths, kept: Lanes) -> None:
        ray.get(kept.desk.ask.remote("stopped", [TrialPiece("stopped", (jobs.__name__, "count_steps"), "stopped")]))
        while not ray.get(kept.desk.next_report.remote("stopped", 0)):
            pass
        ray.get(kept.desk.take_back.remote("stopped"))
        assert map_shards(jobs.square, [3], kept, lambda _: None) == [9]
        steps = (session.root / "steps").read_text().splitlines()
        assert 1 <= len(steps) < jobs.MANY_STEPS
        assert not session.trial("stopped").result.exists()
        assert Attempts(session.trial("stopped")).failures == []
        assert "stopped is stopped" in session.trial("stopped").log.read_text()


class TestLanesForShards:
    """That stay from one test to the next."""

    @pytest.fixture(scope="class")
    def kept(self, session: RunPaths) -> Iterator[Lanes]:
        with lanes(session, Resources()) as kept:
            yield kept

    def test_shards_come_back_in_order_and_are_counted(self, kept: Lanes) -> None:
        counts: list[int] = []
        assert map_shards(jobs.square, range(5), kept, counts.append) == [0, 1, 4, 9, 16]
        assert counts == [1, 2, 3, 4, 5]

    def test_the_error_of_a_shard_is_raised_as_it_was(self, kept: Lanes) -> None:
        with pytest.raises(DataError, match="shard 3: no such image"):
            map_shards(jobs.refuse_three, range(5), kept, lambda _: None)

    def test_workers_take_no_more_threads_than_their_cpus(self, kept: Lanes) -> None:
        assert map_shards(jobs.threads, [0], kept, lambda _: None) == ["1"]


def test_of_an_autoscaler_no_more_is_wanted_for_shards_than_it_may_start(
    session: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Lanes] = []
    start = Lanes._start
    monkeypatch.setattr(Lanes, "_start", lambda lanes: (asked.append(lanes), start(lanes)))
    assert mapped(session, jobs.square, range(5), Resources(gpus_per_worker=1), lambda _: None) == [0, 1, 4, 9, 16]
    assert len(asked) == 1  # there is one GPU, and there will be no other


def test_what_drives_a_trial_asks_for_the_head_node(session: RunPaths) -> None:
    (bundle,) = DRIVER.bundles
    assert bundle.keys() <= ray.nodes()[0]["Resources"].keys()
    assert all("internal_head" in name for name in bundle)


def test_a_gpus_worker_makes_one_shard_after_another_and_is_gone_afterwards(session: RunPaths) -> None:
    (process,) = set(mapped(session, jobs.process_id, range(5), Resources(gpus_per_worker=1), lambda _: None))
    deadline = time.monotonic() + 10
    while psutil.pid_exists(process):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_shard_whose_worker_dies_is_tried_again_and_none_counts_twice(session: RunPaths, tmp_path: Path) -> None:
    counts: list[int] = []
    function, pairs = partial(jobs.die_at, tmp_path, times=1), Resources(max_failures=0, workers_per_trial=2)
    assert mapped(session, function, range(5), pairs, counts.append) == [0, 1, 2, 3, 4]
    assert counts == [1, 2, 3, 4, 5]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_worker_that_hangs_at_a_shard_is_ended_and_one_that_works_long_at_it_is_not(
    session: RunPaths, tmp_path: Path
) -> None:
    resources, counts = Resources(stall_minutes=3 / 60), list[int]()
    assert mapped(session, partial(jobs.freeze_at, tmp_path), range(5), resources, counts.append) == [0, 1, 2, 3, 4]
    assert counts == [1, 2, 3, 4, 5]
    assert session.log.read_text().count("a worker gave no sign of life") == 1


def test_workers_that_die_at_one_shard_again_and_again_end_the_run(session: RunPaths, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=rf"workers died {RETRIES + 1} times at the same work: ActorDiedError"):
        mapped(session, partial(jobs.die_at, tmp_path, times=100), range(5), ONE_CPU, lambda _: None)


def test_nothing_is_said_on_the_terminal(session: RunPaths, outcome: object, capfd: pytest.CaptureFixture[str]) -> None:
    mapped(session, jobs.square, range(2), ONE_CPU, lambda _: None)
    assert capfd.readouterr() == ("", "")
    assert "Started a local Ray instance" in session.log.read_text()
