"""Searches under Ray Tune: Optuna suggests trials that meet the budget, and ASHA stops those that fall behind.

What is known of a trial is read from the run folder. So a search that goes on knows what was found before, and neither
Optuna nor Tune has to have heard of it at the time.
"""

import logging
import warnings
from collections import deque
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import optuna
from optuna.trial import TrialState
from ray.tune.schedulers import ASHAScheduler, TrialScheduler
from ray.tune.search import Searcher
from sqlalchemy.exc import DatabaseError

from fashion_sweep.cluster.lanes import Lanes
from fashion_sweep.cluster.suggestions import Choices
from fashion_sweep.cluster.tune import fit_trials
from fashion_sweep.cluster.worker import TrainFn
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.search_space import Search, StopEarly
from fashion_sweep.data.catalogue import read_catalogue
from fashion_sweep.data.split import training_steps
from fashion_sweep.doors import METRICS
from fashion_sweep.errors import RunError
from fashion_sweep.judging.looks import at_first_look
from fashion_sweep.planning.plan import trials_wanted
from fashion_sweep.planning.space import feasible, parameters_of
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.retries import queue
from fashion_sweep.run.specs import Suggestion, suggestions
from fashion_sweep.run.stage_inputs import fetch_outcome
from fashion_sweep.storage import remote
from fashion_sweep.storage.files import read_json, read_json_lines, sqlite_address, write_json

STUDY = "search"
TRIES = 100
"""The number of times that Optuna is asked again where it suggests what has been suggested before."""


def run_search(lanes: Lanes, config: RunConfig, train_fn: TrainFn) -> dict[str, str | None]:
    """Runs trials until there are as many as the search may have; those that an earlier call left come first.

    Returns:
        For each trial None, or what made it fail in one line.

    Raises:
        KeyboardInterrupt: on Ctrl-C, within seconds.
    """
    search, run = config.sweep.search, lanes.run
    assert search is not None
    searcher = StudySearcher(run, config)
    tuning: dict[str, Any] = {"search_alg": searcher, "num_samples": searcher.remaining}
    if search.stop_early is not None:
        steps = training_steps(config.preset.training, read_catalogue(run.catalogue(config.preset.training_set)))
        if search.stop_early.rungs(steps):
            tuning["scheduler"] = Rungs(run, search.stop_early, steps)
    if not searcher.remaining:
        return {}
    return fit_trials(lanes, train_fn, {}, **tuning)


class StudySearcher(Searcher):
    """Offers an Optuna study to Tune as a searcher. Ray's own OptunaSearch wants every objective in every report, and
    has no word for a trial that was stopped before it was judged."""

    def __init__(self, run: RunPaths, config: RunConfig) -> None:
        super().__init__()
        search, space = config.sweep.search, config.sweep.space
        assert search is not None
        assert space is not None
        self._run, self._config, self._search = run, config, search
        earlier = suggestions(run)
        self._begun = {suggestion.trial_id: suggestion for suggestion in earlier}
        self._waiting = deque(suggestion for suggestion in earlier if not run.trial(suggestion.trial_id).is_over)
        possible = feasible(config, space)
        self._choices = Choices(space, possible)
        self._last = set[str]() if space.ranges else {spec.trial_id for spec in possible}
        """All trials that there can be; empty where numbers are drawn from a range."""
        self._study = open_study(run, search)
        self._running: dict[str, Suggestion] = {}
        self.remaining = len(self._waiting) + max(trials_wanted(config) - len(earlier), 0)
        self._catch_up()

    def suggest(self, trial_id: str) -> Any:
        """Returns the next trial for Tune to run; `trial_id` is Tune's own, which means nothing to us."""
        suggestion = self._waiting.popleft() if self._waiting else self._new()
        if suggestion is None:
            return Searcher.FINISHED
        remote.put(self._run.study)
        self._running[trial_id] = suggestion
        queue(self._run.trial(suggestion.trial_id))
        return {"trial_id": suggestion.trial_id}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        fetch_outcome(self._run.trial(self._running[trial_id].trial_id))
        self._tell(self._running[trial_id])
        remote.put(self._run.study)

    def _new(self) -> Suggestion | None:
        if self._last and self._last <= self._begun.keys():
            return None
        for _ in range(TRIES):
            self._study.sampler = sampler(self._search, len(self._study.trials))
            asked = self._study.ask()
            spec = self._choices.suggest(asked)
            if earlier := self._begun.get(spec.trial_id):
                self._tell(earlier, asked.number)
                continue
            remote.put(self._run.study)  # first: a study that never heard of a suggestion would give its number again
            suggestion = Suggestion(asked.number, spec, parameters_of(self._config, spec))
            suggestion.write(self._run)
            self._begun[spec.trial_id] = suggestion
            return suggestion
        return None

    def _tell(self, suggestion: Suggestion, number: int | None = None) -> None:
        """Tells the study the outcome of a trial; nothing of one that failed, for it will be tried again.

        number: of another trial of the study that is the same one again; it is given up where nothing is known yet.
        """
        paths = self._run.trial(suggestion.trial_id)
        in_study = suggestion.number if number is None else number
        if paths.result.is_file():
            judged_on = self._config.sweep.first_judged
            values = objective_values(read_json(paths.result), self._search, judged_on)
            self._study.tell(in_study, values, skip_if_finished=True)
        elif paths.stopped.is_file():
            self._study.tell(in_study, state=TrialState.PRUNED, skip_if_finished=True)
        elif number is not None:
            self._study.tell(in_study, state=TrialState.FAIL, skip_if_finished=True)

    def _catch_up(self) -> None:
        """Tells the study what it missed when an earlier search was killed."""
        by_number = {suggestion.number: suggestion for suggestion in self._begun.values()}
        for trial in self._study.get_trials(states=(TrialState.RUNNING,)):
            if trial.number in by_number:
                self._tell(by_number[trial.number])
            else:
                self._study.tell(trial.number, state=TrialState.FAIL)

    def save(self, checkpoint_path: str) -> None:
        Path(checkpoint_path).touch()  # the study and the run folder are all there is to keep

    def restore(self, checkpoint_path: str) -> None:
        pass


class Rungs(ASHAScheduler):
    """Runs ASHA with our trial ids, beginning with what earlier searches of the run reached at its rungs."""

    def __init__(self, run: RunPaths, stop: StopEarly, steps: int) -> None:
        super().__init__(
            time_attr="step",
            metric=stop.metric,
            mode="min",
            max_t=steps - 1,  # no rung at the end: who gets there is judged
            grace_period=stop.grace_steps,
            reduction_factor=stop.reduction_factor,
            stop_last_trials=False,
        )
        self._run, self._stop = run, stop
        for suggestion in suggestions(run):
            trial = SimpleNamespace(config={"trial_id": suggestion.trial_id})
            self.on_trial_add(None, trial)
            for line in read_json_lines(run.trial(suggestion.trial_id).metrics):
                super().on_trial_result(None, _named(trial), line)

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        super().on_trial_add(tune_controller, _named(trial))

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        decision: str = super().on_trial_result(tune_controller, _named(trial), result)
        if decision == TrialScheduler.STOP:
            reached = {name: result[name] for name in ("step", self._stop.metric)}
            now = {"time": datetime.now().timestamp()}
            write_json(self._run.trial(trial.config["trial_id"]).stopped, reached | now)
        return decision

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Does nothing: a trial's last report belongs to no rung."""

    def on_trial_remove(self, tune_controller: Any, trial: Any) -> None:
        """Does nothing: what the trial reached still counts."""


def _named(trial: Any) -> Any:
    return SimpleNamespace(trial_id=trial.config["trial_id"])


def open_study(run: RunPaths, search: Search) -> optuna.Study:
    """Opens the run's study, with all that it knew; makes it where there is none. Raises RunError if it is damaged."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for name in ("alembic", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        study = optuna.create_study(
            storage=sqlite_address(run.study),
            study_name=STUDY,
            load_if_exists=True,
            directions=[_direction(name) for name in search.objectives],
        )
    except (DatabaseError, optuna.exceptions.StorageInternalError) as error:
        raise RunError(
            f"{run.study} is damaged; remove it to go on: trials that were begun are kept, what Optuna learnt is lost"
        ) from error
    return study


def _direction(objective: str) -> Literal["maximize", "minimize"]:
    return "maximize" if objective in METRICS and METRICS[objective].better == "higher" else "minimize"


def sampler(search: Search, number: int) -> optuna.samplers.BaseSampler:
    """Returns the sampler for the suggestion of that number. Each has one of its own, so that it depends on what the
    study knows by then, and not on whether the search was killed before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            multivariate=True,
            group=True,
            constant_liar=True,  # trials that run at the same time keep away from each other
            n_startup_trials=min(10, -(-search.trials // 2)),
            seed=search.seed + number,
        )


def objective_values(result: dict[str, Any], search: Search, judged_on: str) -> list[float]:
    """Returns the objectives of a trial's `result.json`, in their order, by the images that all trials have."""
    judged = result["evaluations"][judged_on]
    measured = judged | at_first_look(judged) | {"parameters": result["parameters"]}
    return [float(measured[name]) for name in search.objectives]
