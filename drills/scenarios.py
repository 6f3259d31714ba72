"""The scenarios of `drills.chaos`: at which moments what is killed, stopped, spoilt or taken away."""

import random

from drills import surroundings
from drills.chaos import Fault, Scenario
from drills.moments import (
    LANE_WORKER,
    any_of,
    has_failed,
    helper,
    is_helped,
    itself,
    judged,
    judged_further,
    leader,
    named,
    preparing,
    reporting,
    saved,
    saving,
    shared_memory_is_full,
    step,
    trained,
    worker,
)
from drills.strikes import (
    fill,
    freeze,
    immutable,
    jump,
    kill,
    kill_all,
    lose_node,
    make_room,
    nothing_more,
    spoil_checkpoint,
    spoil_results,
    start_another,
    use_up_memory,
)
from drills.sweep_run import SweepRun
from fashion_sweep.run.retries import Attempts

A, B = "unet-r1", "unet-r4"
NOT_FINITE = "unet-r2-lr1e+30"
C = "unet-r2"
CONTROLLER, DESK = "TrainController", "ray::Desk"
TRIAL_ACTOR = ("ResourceTrainable", "WithDesk")
RACE = {
    "evaluation.samples": 320,
    "sweep.choose.looks": "[160]",
    "sweep.choose.margins": "{clip_score: 0.001}",  # so that nothing is decided at the first look
}
THREE = {"sweep.trials": "[{unet: 1}, {unet: 4}, {unet: 2}]"}


def scenarios(draw: random.Random) -> list[Scenario]:
    return [*_processes(draw), *_files(), *_machine(draw), *_bad_days()]


def _processes(draw: random.Random) -> list[Scenario]:
    controller, actor = any_of(named(CONTROLLER), draw), any_of(named(*TRIAL_ACTOR), draw)
    first, half = step(A, 1), step(A, 13)
    return [
        Scenario(
            "prepare",
            (
                Fault("prepare", "a lane at the cache killed", preparing, kill, any_of(named(LANE_WORKER), draw)),
                Fault("prepare", "the driver killed", preparing, kill, itself, ends_run=True),
                Fault("prepare", "all lanes at the cache killed", preparing, kill, named(LANE_WORKER)),
            ),
            own_cache=True,
        ),
        Scenario(
            "worker-training",
            (
                Fault("during a checkpoint", "a worker killed", saving(B, 6), kill, worker(B), ready=step(B, 1)),
                Fault("mid-training", "a worker killed", half, kill, worker(A)),
            ),
        ),
        Scenario(
            "worker-judging",
            (
                Fault("first step", "a worker killed", step(B, 1), kill, worker(B)),
                Fault("between train and judge", "a worker killed", trained(A), kill, worker(A), ready=step(A, 1)),
                Fault("mid-judging", "a worker killed", judged(A, 3), kill, worker(A)),
                Fault("mid-judging", "a worker killed again", judged(A, 6), kill, worker(A)),
            ),
        ),
        Scenario(
            "controller",
            (
                Fault("first step", "Train's controller killed", first, kill, controller),
                Fault("mid-training", "Train's controller killed", half, kill, controller),
                Fault("mid-judging", "Train's controller killed", judged(A, 3), kill, controller),
            ),
        ),
        Scenario(
            "trial-actor",
            (
                Fault("first step", "a trial's actor killed", first, kill, actor),
                Fault("mid-training", "a trial's actor killed", half, kill, actor),
                Fault("mid-judging", "a trial's actor killed", judged(A, 3), kill, actor),
            ),
        ),
        Scenario(
            "driver",
            (
                Fault("first step", "the driver killed", first, kill, itself, ends_run=True),
                Fault("during a checkpoint", "the driver killed", saving(A, 12), kill, itself, saved(A), ends_run=True),
                Fault("mid-judging", "the driver killed", judged(A, 3), kill, itself, ends_run=True),
                Fault("during the report", "the driver killed", reporting, kill, itself, ends_run=True),
            ),
        ),
        Scenario(
            "all-at-once",
            (Fault("mid-training", "every process of the run killed", half, kill_all, itself, ends_run=True),),
        ),
        Scenario(
            "frozen",
            (
                Fault("mid-training", "a worker frozen (SIGSTOP)", half, freeze, worker(A)),
                Fault("mid-judging", "a worker frozen (SIGSTOP)", judged(B, 3), freeze, worker(B)),
            ),
            settings={"resources.stall_minutes": 0.5},
            afterwards=lambda run: _said(run, A, "stalled") or _said(run, B, "stalled"),
        ),
        Scenario(
            "frozen-supervisors",
            (
                Fault("mid-training", "Train's controllers frozen (SIGSTOP)", half, freeze, named(CONTROLLER)),
                Fault("mid-judging", "the trials' actors frozen (SIGSTOP)", judged(A, 3), freeze, named(*TRIAL_ACTOR)),
            ),
            settings={"resources.stall_minutes": 0.5},
        ),
        # The trial that has made way for the third is judged last, by both lanes.
        *(
            Scenario(
                name,
                (Fault("mid-judging", what, is_helped, kill, whom),),
                settings=THREE,
                afterwards=lambda run: None if run.trial(C).result.is_file() else f"{C}: not finished",
            )
            for name, what, whom in (
                ("helper", "a worker that helps killed", helper),
                ("helped", "the worker that is helped killed", leader),
            )
        ),
        Scenario(
            "race",
            (
                Fault("a further look", "a worker killed", judged_further(A, 2), kill, worker(A)),
                Fault("a further look", "the driver killed", judged_further(A, 5), kill, itself, ends_run=True),
                Fault("a further look", "the driver killed", judged_further(B, 2), kill, itself, ends_run=True),
            ),
            settings=RACE,
            changes_result=True,
        ),
        Scenario(
            "race-completed",
            (
                Fault("the round after its end", "a worker killed", judged_further(A, 2), kill, worker(A)),
                Fault(
                    "the round after its end", "the driver killed", judged_further(A, 5), kill, itself, ends_run=True
                ),
            ),
            settings=RACE | {"sweep.choose.margins": "{fid: 99, clip_score: 9}", "sweep.choose.complete": "all"},
            changes_result=True,
        ),
        Scenario(
            "desk",
            (
                Fault("mid-training", "the desk killed", half, kill, named(DESK), ends_run=True),
                Fault("mid-judging", "the desk frozen (SIGSTOP)", judged(A, 3), freeze, named(DESK), ends_run=True),
            ),
            settings={"resources.stall_minutes": 0.5},
        ),
        Scenario(
            "frozen-prepare",
            (
                Fault(
                    "prepare",
                    "a lane at the cache frozen (SIGSTOP)",
                    preparing,
                    freeze,
                    any_of(named(LANE_WORKER), draw),
                ),
            ),
            settings={"resources.stall_minutes": 0.5},
            own_cache=True,
        ),
        Scenario(
            "two-workers",
            (
                Fault("first step", "one of two workers killed", step(A, 1), kill, any_of(worker(A), draw)),
                Fault("during a checkpoint", "one of two workers killed", saved(A), kill, any_of(worker(A), draw)),
                Fault("mid-training", "one of two workers frozen", step(A, 14), freeze, any_of(worker(A), draw)),
                Fault("mid-judging", "one of two workers killed", judged(A, 3), kill, any_of(worker(A), draw)),
                Fault("mid-judging", "the driver killed", judged(A, 6), kill, itself, ends_run=True),
            ),
            settings={"resources.workers_per_trial": 2, "resources.stall_minutes": 0.5},
        ),
    ]


def _files() -> list[Scenario]:
    return [
        Scenario(
            "damaged-files",
            (
                Fault(
                    "mid-training",
                    "newest checkpoint torn, worker killed",
                    step(A, 8),
                    spoil_checkpoint(A, "torn"),
                    worker(A),
                    spoils=True,
                ),
                Fault(
                    "mid-training",
                    "one bit of the newest checkpoint flipped, worker killed",
                    step(A, 14),
                    spoil_checkpoint(A, "flipped"),
                    worker(A),
                    spoils=True,
                ),
            ),
            afterwards=lambda run: None if "was damaged" in run.trial(A).log.read_text() else "nothing was said of it",
        ),
        Scenario(
            "damaged-results",
            (
                Fault(
                    "mid-judging",
                    "one bit of adapter and a judged batch flipped, status torn, worker killed",
                    judged(B, 3),
                    spoil_results(B),
                    worker(B),
                    spoils=True,
                ),
            ),
        ),
    ]


def _machine(draw: random.Random) -> list[Scenario]:
    return [
        Scenario(
            "nodes",
            (
                Fault("mid-training", "raylet of a trial's node killed", step(A, 13), lose_node, worker(A)),
                Fault("mid-judging", "raylet of a trial's node killed", judged(B, 3), lose_node, worker(B)),
            ),
            settings={"resources.max_failures": 0},
            surroundings=surroundings.cluster,
        ),
        Scenario(
            "own-raylet",
            (Fault("mid-training", "the only raylet killed", step(A, 8), kill, named("raylet/raylet"), ends_run=True),),
        ),
        Scenario(
            "own-gcs",
            (Fault("mid-training", "Ray's GCS killed", step(A, 8), kill, named("gcs_server"), ends_run=True),),
        ),
        Scenario(
            "dashboard",
            (
                Fault("first step", "Ray's dashboard killed", step(A, 1), kill, named("dashboard/dashboard.py")),
                Fault("mid-training", "a worker killed", step(A, 13), kill, worker(A)),
            ),
        ),
        Scenario(
            "clock",
            (
                Fault("mid-training", "the clock jumps a day ahead", step(A, 8), jump(1)),
                Fault("mid-judging", "the clock jumps two days back", judged(A, 3), jump(-1)),
            ),
            surroundings=surroundings.settable_clock,
        ),
    ]


def _bad_days() -> list[Scenario]:
    return [
        Scenario(
            "disk-full",
            (
                Fault(
                    "mid-training",
                    "the disk full to the last byte",
                    step(A, 8),
                    fill,
                    ends_run=True,
                    repair=("make room", make_room),
                ),
            ),
            surroundings=surroundings.small_disk,
            own_cache=True,
        ),
        Scenario(
            "read-only",
            (
                Fault(
                    "mid-judging",
                    "the trial's folder can no longer be written",
                    judged(A, 3),
                    immutable(A, "+i", "judged/fashion"),
                    ends_run=True,
                    repair=("make it writable", immutable(A, "-i", "judged/fashion")),
                ),
            ),
            surroundings=surroundings.writable_in_the_end,
        ),
        Scenario(
            "shared-memory-full",
            (Fault("from the start", "/dev/shm full", shared_memory_is_full, nothing_more),),
            prefix=(
                "unshare",
                "-m",
                "sh",
                "-c",
                'mount -t tmpfs -o size=64k none /dev/shm && cp /bin/ls /dev/shm; exec "$@"',
                "sh",
            ),
        ),
        Scenario(
            "memory",
            (Fault("mid-training", "the machine's memory used up", step(A, 8), use_up_memory, ends_run=True),),
            surroundings=surroundings.watched_memory,
        ),
        Scenario(
            "not-finite",
            (Fault("first step", "the loss of a third trial not finite", has_failed(NOT_FINITE), nothing_more),),
            settings={"sweep.trials": "[{unet: 1}, {unet: 4}, {unet: 2, learning_rate: 1.0e+30}]"},
            exit_code=3,
            afterwards=lambda run: _said(run, NOT_FINITE, "loss=nan at step"),
        ),
        Scenario(
            "two-sweeps",
            (Fault("mid-training", "a second run of the same name started", step(A, 1), start_another),),
        ),
        Scenario(
            "mlflow",
            (
                Fault("mid-training", "MLflow server killed", step(A, 8), surroundings.kill_mlflow_server),
                Fault("mid-judging", "MLflow server started again", judged(A, 3), surroundings.start_mlflow_server),
                Fault("during the report", "MLflow server killed", reporting, surroundings.kill_mlflow_server),
            ),
            surroundings=surroundings.mlflow_server,
            afterwards=surroundings.synced,
        ),
    ]


def _said(run: SweepRun, trial_id: str, word: str) -> str | None:
    """What is wrong if none of the trial's failures tells of it."""
    errors = [failure["error"] for failure in Attempts(run.trial(trial_id)).failures]
    return None if any(word in error for error in errors) else f"{trial_id}: none of {errors} says {word}"
