"""A trial as Ray Tune sees it: it has the desk carry it out, and waits for what is reported."""

from typing import Any

import ray
from ray import tune

from fashion_sweep.cluster.piece import TrialPiece


class TrialOnLanes(tune.Trainable):
    """Holds no resources of its own. Tune gives its process one trial after another."""

    def setup(self, config: dict[str, Any]) -> None:
        """Asks for the trial that `config` names as `trial_id`.

        `desk` is the actor that is asked, `function` the dotted name of what lanes do for the trial.
        """
        self._desk, self._asked, self._heard = config["desk"], config["trial_id"], 0
        ray.get(self._desk.ask.remote(self._asked, [TrialPiece(self._asked, config["function"], self._asked)]))

    def step(self) -> dict[str, Any]:
        """Waits for the next report."""
        report = None
        while report is None:
            report = ray.get(self._desk.next_report.remote(self._asked, self._heard))
        self._heard += 1
        return dict(report)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Goes on with another trial."""
        self.cleanup()
        self.setup(new_config)
        return True

    def cleanup(self) -> None:
        """Takes back what was asked for: it is over, or Tune has stopped it."""
        ray.get(self._desk.take_back.remote(self._asked))

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Saves nothing: a trial goes on from what is in its folder."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Loads nothing, likewise."""
