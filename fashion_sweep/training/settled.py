"""What a run goes by where its configuration says `auto`: settled once, for all its trials. Imports no torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fashion_sweep.config.model_config import ModelConfig
from fashion_sweep.config.preset import RunConfig
from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.run.paths import RunPaths
from fashion_sweep.storage.files import read_json

AUTO = "auto"
FACT = "settled"
"""The key in the facts of a run."""


@dataclass(frozen=True)
class Settled:
    """A value for each setting that may be `auto`; those by default are for where there was no probe, as on a CPU."""

    gradient_checkpointing: bool = True
    micro_batch_size: int | None = None
    attention: str = AUTO
    channels_last: bool = False
    compile: bool = False

    @classmethod
    def read(cls, run: RunPaths) -> "Settled":
        """Returns what a run has settled."""
        found = read_json(run.facts, {}).get(FACT, {})
        return cls(**{name: found[name] for name in asdict(cls()) if name in found})

    def config(self, config: RunConfig) -> RunConfig:
        """Returns a configuration with its `auto` replaced."""
        update = {"model": self.model(config.preset.model), "training": self.training(config.preset.training)}
        return config.model_copy(update={"preset": config.preset.model_copy(update=update)})

    def training(self, training: TrainingConfig) -> TrainingConfig:
        """Returns the settings of training with their `auto` replaced."""
        return training.model_copy(update=self._for(training, ("gradient_checkpointing", "micro_batch_size")))

    def model(self, model: ModelConfig) -> ModelConfig:
        """Returns the settings of the base model with their `auto` replaced."""
        return model.model_copy(update=self._for(model, ("attention", "channels_last", "compile")))

    def _for(self, settings: Any, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names if getattr(settings, name) == AUTO}


def is_unsettled(config: RunConfig) -> bool:
    """Returns whether a configuration says `auto` where a probe on a GPU would have something to settle."""
    if not config.preset.resources.gpus_per_worker:
        return False
    training, model = config.preset.training, config.preset.model
    given = (training.gradient_checkpointing, training.micro_batch_size, model.channels_last, model.compile)
    return AUTO in (*given, model.attention)


def sentence(found: Mapping[str, Any]) -> str:
    """Returns what was settled, as a user reads it."""
    on = [name.replace("_", " ") for name in ("gradient_checkpointing", "channels_last", "compile") if found[name]]
    at_once = f"{found['micro_batch_size']} samples at once" if found["micro_batch_size"] else "all samples at once"
    return ", ".join([f"settled by a probe of this hardware: {at_once}", f"attention {found['attention']}", *on])
