"""Asks lanes for work on trials that Tune has done with: their later looks."""

from collections.abc import Mapping, Sequence
from typing import Any

import ray

from fashion_sweep.cluster.lanes import Lanes
from fashion_sweep.cluster.piece import to_judge
from fashion_sweep.cluster.worker import TrainFn


class Asking:
    """What the driver has asked lanes for, and waits for."""

    def __init__(self, lanes: Lanes, train_fn: TrainFn) -> None:
        self._lanes, self._function = lanes, (train_fn.__module__, train_fn.__name__)
        self._owners: dict[str, str] = {}
        """Under what name each trial was asked for."""
        self._heard: dict[str, int] = {}
        self._answers: dict[Any, str] = {}
        """The calls that wait for the next report of a trial."""

    @property
    def trials(self) -> frozenset[str]:
        """The trials that are asked for."""
        return frozenset(self._owners)

    def ask(self, trial_id: str, looks: Mapping[str, int]) -> None:
        """Asks for a trial to be judged on so many images, by evaluation set."""
        piece = to_judge(trial_id, tuple(sorted(looks.items())), self._function)
        self._owners[trial_id], self._heard[trial_id] = piece.owner, 0
        ray.get(self._lanes.desk.ask.remote(piece.owner, [piece]))
        self._listen(trial_id)

    def ended(self, timeout_s: float) -> dict[str, str | None]:
        """Waits a little; returns the trials that are through by then, with what made them fail, or None."""
        over: dict[str, str | None] = {}
        answered: Sequence[Any] = ray.wait([*self._answers], timeout=timeout_s)[0] if self._answers else ()
        for answer in answered:
            trial_id, report = self._answers.pop(answer), ray.get(answer)
            if report is None or not report.get("done"):
                self._heard[trial_id] += report is not None
                self._listen(trial_id)
                continue
            ray.get(self._lanes.desk.take_back.remote(self._owners.pop(trial_id)))
            over[trial_id] = report.get("error")
        return over

    def _listen(self, trial_id: str) -> None:
        call = self._lanes.desk.next_report.remote(self._owners[trial_id], self._heard[trial_id])
        self._answers[call] = trial_id
