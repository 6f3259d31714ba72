"""The trials that a run has: those of its sweep, or those that its search has suggested so far."""

from collections.abc import Iterator
from dataclasses import dataclass

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.search_space import trial_values
from fashion_sweep.config.trial_spec import TrialSpec
from fashion_sweep.errors import ConfigError, DataError
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json, write_json


@dataclass(frozen=True)
class Suggestion:
    """A trial that a search has begun; on disk before it starts, so that it is known however the search ends."""

    number: int
    """The number of the trial in Optuna's study."""
    spec: TrialSpec
    parameters: int

    @property
    def trial_id(self) -> str:
        return self.spec.trial_id

    def write(self, run: RunPaths) -> None:
        values = {"number": self.number, "values": self.spec.values, "parameters": self.parameters}
        values["architecture"] = self.spec.architecture
        write_json(run.trial(self.trial_id).suggestion, values)


def suggestions(run: RunPaths) -> list[Suggestion]:
    """Returns the suggestions of a run's search in the order in which they were made."""
    return sorted(_read(run), key=lambda suggestion: suggestion.number)


def run_specs(run: RunPaths, config: RunConfig) -> list[TrialSpec]:
    """Returns the trials that the run has now; those of a search grow in number."""
    return [*config.specs, *(suggestion.spec for suggestion in suggestions(run))]


def _read(run: RunPaths) -> Iterator[Suggestion]:
    for path in run.trials.glob("*/suggestion.json"):
        try:
            stored = read_json(path)
            spec = TrialSpec.of(trial_values(stored["values"]), stored["architecture"])
            suggestion = Suggestion(int(stored["number"]), spec, int(stored["parameters"]))
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise DataError(f"{path} is damaged: {error}; remove its folder to have the trial made again") from error
        if suggestion.trial_id != path.parent.name:
            raise DataError(f"{path} is damaged: it is of the trial {suggestion.trial_id}; remove its folder")
        yield suggestion
