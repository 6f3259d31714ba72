"""Runs the trials of a run under Ray Tune, as many side by side as fit."""

import shlex
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ray import tune
from ray.tune.execution import class_cache
from ray.tune.logger import JsonLoggerCallback
from ray.tune.search import BasicVariantGenerator, ConcurrencyLimiter, Searcher

from fashion_sweep.cluster.interrupt import Interrupt, late_interrupt
from fashion_sweep.cluster.lanes import Lanes
from fashion_sweep.cluster.logs import one_line
from fashion_sweep.cluster.ray_storage import ray_storage
from fashion_sweep.cluster.trial_on_lanes import TrialOnLanes
from fashion_sweep.cluster.worker import TrainFn
from fashion_sweep.errors import RunError

# What waits for a trial runs on the head node: there a node that goes takes no trial with it. It is the least there is
# to ask for: of the CPUs, even .01 would keep two workers of 1 CPU from sharing a machine of 2.
DRIVER = tune.PlacementGroupFactory([{"node:__internal_head__": 0.0001}])

AHEAD = 4
"""How many trials more than lanes Tune has on its hands at most; each has a process that waits."""
RESTARTS = 1000
"""The number of times a trial whose own process died is begun again: nodes of a long sweep come and go."""

# Tune would hand variables, keys of AWS among them, to trials by way of Ray's `runtime_env`, which Ray writes into a
# log for all to read, and with which each process starts twice. They have them from Ray's own processes.
class_cache.ENV_VARS_TO_PROPAGATE = set()
class_cache.DEFAULT_ENV_VARS.clear()


def run_trials(lanes: Lanes, trial_ids: Sequence[str], train_fn: TrainFn) -> dict[str, str | None]:
    """Trains and judges `trial_ids`, in this order; a trial that fails leaves the others alone.

    Returns:
        For each trial None, or what made it fail in one line (its log has the traceback).

    Raises:
        KeyboardInterrupt: on Ctrl-C, within seconds; the trials are stopped when the session ends.
    """
    if not trial_ids:
        return {}
    param_space = {"trial_id": tune.grid_search(list(trial_ids))}
    return fit_trials(lanes, train_fn, param_space)


def fit_trials(lanes: Lanes, train_fn: TrainFn, param_space: dict[str, Any], **tuning: Any) -> dict[str, str | None]:
    """Has Tune run the trials whose `trial_id` comes from `param_space` or a searcher in `tuning` (for `TuneConfig`).

    Returns, raises: as `run_trials`.
    """
    resume = f"python -m fashion_sweep resume {shlex.quote(lanes.run.name)} goes on"
    with late_interrupt() as interrupt:
        suggests = _limited(tuning.pop("search_alg", None), lanes)
        callbacks = [JsonLoggerCallback(), _StopOnInterrupt(interrupt), _WatchLanes(lanes, suggests)]
        tuning["search_alg"] = suggests
        try:
            results = _tuner(lanes, _on(lanes.desk, train_fn), callbacks, param_space, tuning).fit()
        except _LoopLeft:
            if lanes.lost:
                raise RunError(f"{lanes.lost}; {resume}") from None
            raise KeyboardInterrupt from None
        except RuntimeError as error:  # what Tune makes of an actor of its own that was ended for lack of memory
            raise RunError(f"Ray Tune gave up: {one_line(error)}; {resume}") from error
    return {result.config["trial_id"]: _error(result) for result in results}


def _tuner(
    lanes: Lanes,
    trainable: type[TrialOnLanes],
    callbacks: list[tune.Callback],
    param_space: dict[str, Any],
    tuning: dict[str, Any],
) -> tune.Tuner:
    return tune.Tuner(
        tune.with_resources(trainable, DRIVER),
        param_space=param_space,
        tune_config=tune.TuneConfig(
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.config["trial_id"],
            trial_dirname_creator=lambda trial: trial.config["trial_id"],
            **tuning,
        ),
        run_config=tune.RunConfig(
            name=f"tune-{datetime.now():%Y%m%d-%H%M%S-%f}",
            **ray_storage(lanes.run),
            failure_config=tune.FailureConfig(max_failures=RESTARTS),
            callbacks=callbacks,
            verbose=0,
        ),
    )


def _on(desk: Any, train_fn: TrainFn) -> type[TrialOnLanes]:
    function = (train_fn.__module__, train_fn.__name__)

    class WithDesk(TrialOnLanes):
        """Knows its desk, and what is to be done for a trial."""

        def setup(self, config: dict[str, Any]) -> None:
            super().setup(config | {"desk": desk, "function": function})

    return WithDesk


def _limited(searcher: Searcher | None, lanes: Lanes) -> Any:
    """Returns what tells Tune which trial comes next, of a searcher or of all in their order."""
    if searcher is None:
        return BasicVariantGenerator(max_concurrent=_concurrency(lanes, AHEAD))
    return ConcurrencyLimiter(searcher, _concurrency(lanes, 1))


def _concurrency(lanes: Lanes, ahead: int) -> int:
    """Returns as many trials as are allowed; else as fit, and some more, so that no lane waits for Tune to ask.

    A search knows the more, the fewer trials it has begun; of a grid some are trained while others make way.
    """
    fit = max(1, lanes.at_most)  # to Tune 0 means no limit
    return lanes.resources.max_concurrent_trials or fit + min(fit, ahead)


class _LoopLeft(BaseException):
    """Leaves Tune's loop; no Exception, so that Tune does not take it for an error to clean up after at leisure."""


class _StopOnInterrupt(tune.Callback):
    """Leaves Tune's loop on Ctrl-C between two of its steps, which are tenths of a second apart."""

    def __init__(self, interrupt: Interrupt) -> None:
        self.interrupt = interrupt

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self.interrupt.pending:
            raise _LoopLeft


class _WatchLanes(tune.Callback):
    """Tells the lanes by which actors Tune asks for trials and which it has ended, and Tune how many lanes there may be
    by now; leaves Tune's loop where nothing can go on."""

    def __init__(self, lanes: Lanes, suggests: Any) -> None:
        self._lanes, self._suggests = lanes, suggests
        self._ahead = AHEAD if isinstance(suggests, BasicVariantGenerator) else 1

    def __getstate__(self) -> dict[str, Any]:
        """Returns nothing: Tune writes its callbacks down, to go on in a way that is not ours."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if self._lanes.lost:
            raise _LoopLeft
        self._suggests.max_concurrent = _concurrency(self._lanes, self._ahead)
        actors = {trial.config["trial_id"]: trial.temporary_state.ray_actor for trial in trials}
        self._lanes.asking = {trial_id: actor for trial_id, actor in actors.items() if actor is not None}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Frees the lane at once: Tune keeps the actor that has asked for it, for a trial to come."""
        self._lanes.desk.take_back.remote(trial.config["trial_id"])


def _error(result: Any) -> str | None:
    if result.error is None:
        return result.metrics.get("error")
    return one_line(getattr(result.error, "cause", None) or result.error)
