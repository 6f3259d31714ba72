"""The order in which trials are trained."""

from fashion_sweep.config.preset import RunConfig
from fashion_sweep.data.catalogue import read_catalogue
from fashion_sweep.data.split import training_steps
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.run.specs import run_specs


def put_longest_first(config: RunConfig, run: RunPaths, waiting: list[str]) -> None:
    """Sorts trials so that no lane is left alone with a long one in the end."""
    specs = {spec.trial_id: spec for spec in run_specs(run, config)}
    catalogue = read_catalogue(run.catalogue(config.preset.training_set))

    def length(trial_id: str) -> tuple[int, bool]:
        spec = specs[trial_id]
        if spec.is_base_model or run.trial(trial_id).adapter.is_file():
            return 0, False
        return training_steps(config.training_of(spec), catalogue), spec.trains_conditioning

    waiting.sort(key=length, reverse=True)
