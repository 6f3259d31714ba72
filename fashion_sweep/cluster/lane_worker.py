"""What the workers of a lane do: one piece of work after another, as long as there are any."""

import copy
import faulthandler
import importlib
import logging
from functools import partial

import ray
import ray.train

from fashion_sweep.cluster.failures import class_of_failure
from fashion_sweep.cluster.lane import IDLE_S, Group, Lane
from fashion_sweep.cluster.logs import log_of, one_line, worker_output_to
from fashion_sweep.cluster.piece import HelpPiece, Piece, ShardsPiece, TrialPiece
from fashion_sweep.cluster.watch import Watch
from fashion_sweep.cluster.worker import Withdrawn
from fashion_sweep.errors import RunError
from fashion_sweep.run.retries import Attempts, clear_away
from fashion_sweep.run.stage_inputs import fetch_for_drawing, fetch_for_trial, fetch_standing
from fashion_sweep.run.status import Status
from fashion_sweep.storage import remote
from fashion_sweep.storage.sync import appended


def work_in_lane(lane: Lane) -> None:
    """Is the body of a worker's process: works for the desk until it has had nothing to do for a while."""
    context = ray.train.get_context()
    group = Group(context.get_world_rank(), context.get_world_size())
    group.prepare()
    lane.desk.sign.remote(lane.name, group.rank, ray.get_runtime_context().current_actor)
    if lane.imports:
        importlib.import_module(lane.imports)
    while (piece := group.agreed(partial(_next_piece, lane))) is not None:
        match piece:
            case ShardsPiece():
                _make_shards(lane, piece, group)
            case HelpPiece():
                _help(lane, piece, group)
            case TrialPiece() if group.agreed(partial(_may_begin, lane, piece)):
                _carry_out(lane, piece, group)


def _next_piece(lane: Lane) -> Piece | None:
    piece: Piece | str | None = ""
    while piece == "":
        piece = ray.get(lane.desk.next_piece.remote(lane.name, IDLE_S))
    assert not isinstance(piece, str)
    return piece


def _make_shards(lane: Lane, piece: ShardsPiece, group: Group) -> None:
    """Makes this worker's share of the shards; what one raises is for whoever has asked for them."""
    watch = Watch(lane, group)
    watch.alive()
    for number, shard in piece.numbered[group.rank :: group.size]:
        try:
            made = {"result": piece.function(shard, watch.alive)}
        except Exception as error:
            logging.getLogger(__name__).exception("a shard failed")
            made = {"error": _as_it_travels(error)}
        ray.get(lane.desk.report.remote(lane.name, {"number": number} | made))
    faulthandler.cancel_dump_traceback_later()
    group.meet()


def _as_it_travels(error: Exception) -> Exception:
    """Returns the error, or what it says where it would not survive the way to the driver."""
    try:
        return copy.deepcopy(error)  # which takes errors apart, and makes them anew, as sending does
    except Exception:
        return RunError(one_line(error))


def _may_begin(lane: Lane, piece: TrialPiece) -> bool:
    """Notes that an attempt begins; False where the trial is over, or has failed too often."""
    paths = lane.run.trial(piece.trial)
    fetch_standing(paths)
    if paths.result.is_file() and not piece.looks:  # it was over when its last lane died
        _end(lane, piece.trial)
        return False
    attempts = Attempts(paths)
    if not attempts.begin(lane.resources.max_failures):
        last = {"step": 0, "error": attempts.last_error or "unknown error", "done": True}
        ray.get(lane.desk.report.remote(lane.name, last))
        return False
    Status(paths, further=bool(piece.looks)).start()
    return True


def _carry_out(lane: Lane, piece: TrialPiece, group: Group) -> None:
    """Does what there is to do for a trial, or as much of it as is done before it makes way for another one."""
    trial_id, watch = piece.trial, Watch(lane, group, piece.looks)
    paths = lane.run.trial(trial_id)
    watch.alive()
    fetch_for_trial(lane.run, paths)
    if remote.current() and group.size > 1:  # what one has kept of an attempt that was cut short is for all
        group.meet()
        fetch_for_trial(lane.run, paths)
    log = log_of(paths, group.rank)
    worker_output_to(log, group.rank)
    watch.alive()  # again, for now there is a log
    Status(paths, writes=group.rank == 0, further=bool(piece.looks)).arrive()
    with appended(log):
        try:
            _work(lane, piece, watch)
        except Withdrawn:
            logging.getLogger(__name__).info("%s is stopped", trial_id)
            watch.leaves = watch.withdrawn = True
        finally:
            faulthandler.cancel_dump_traceback_later()
    if group.rank != 0:
        return
    if not watch.leaves:
        _end(lane, trial_id)
        return
    Attempts(paths).succeed()
    if not watch.withdrawn:
        Status(paths).make_way()
        ray.get(lane.desk.put_behind.remote(lane.name))


def _help(lane: Lane, piece: HelpPiece, group: Group) -> None:
    """Takes part in what another lane leads; what it has to say is in a log of its own."""
    watch = Watch(lane, group, piece.piece.looks, piece.work)
    watch.alive()
    paths = lane.run.trial(piece.piece.trial)
    fetch_for_drawing(lane.run, paths)
    log = log_of(paths, group.rank)
    log = log.with_stem(f"{log.stem}-{lane.name}")
    worker_output_to(log, group.rank)
    watch.alive()
    with appended(log):
        try:
            _work(lane, piece.piece, watch)
        except Withdrawn:
            logging.getLogger(__name__).info("%s is stopped", piece.piece.trial)
        finally:
            faulthandler.cancel_dump_traceback_later()
    group.meet()


def _work(lane: Lane, piece: TrialPiece, watch: Watch) -> None:
    from ray.train.torch import get_device

    module, function = piece.function
    try:
        getattr(importlib.import_module(module), function)(lane.run, piece.trial, watch.worker(str(get_device())))
        return
    except Exception as error:
        logging.getLogger(__name__).exception("%s failed", piece.trial)
        # Unlike the original, these are sure to survive the way to the driver.
        failure = class_of_failure(error)(one_line(error))
    raise failure


def _end(lane: Lane, trial_id: str) -> None:
    paths = lane.run.trial(trial_id)
    Attempts(paths).succeed()
    clear_away(paths)
    ray.get(lane.desk.report.remote(lane.name, {"step": 0, "done": True}))
