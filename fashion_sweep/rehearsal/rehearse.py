"""A rehearsal from configuration to forecast."""

from rich.console import Console

from fashion_sweep.config import RunConfig
from fashion_sweep.files import write_json
from fashion_sweep.rehearsal.setting import Wish, apart, set_up
from fashion_sweep.rehearsal.stages import Outcome, play
from fashion_sweep.rehearsal.tables import as_json

RESULT = "rehearsal.json"


def rehearse(config: RunConfig, wish: Wish, console: Console) -> Outcome:
    """Progress goes to `console`; the result into the rehearsal's folder, too.

    Raises:
        FashionSweepError: a mistake in the configuration or the data, or a stage that failed, by its name.
    """
    setting = set_up(config, wish, console)
    with apart(setting.run.root):
        outcome = play(setting, wish, console)
    write_json(setting.run.root / RESULT, as_json(outcome, wish))
    return outcome
