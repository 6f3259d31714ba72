"""Optimizers by the names that presets have for them: `doors.OPTIMIZERS`. Imports no torch before one is made."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from fashion_sweep.config.training import TrainingConfig
from fashion_sweep.errors import ConfigError

if TYPE_CHECKING:
    from torch.optim import Optimizer

Groups = Sequence[dict[str, Any]]
"""Groups of parameters as torch's optimizers take them."""


@dataclass(frozen=True)
class OptimizerKind:
    """A way to take a step: torch's own, or another library's."""

    make: Callable[[Groups, TrainingConfig], "Optimizer"]
    """Makes the optimizer of groups of parameters."""
    path: str
    """The dotted path of its class, as sd-scripts' metadata names it."""
    package: str | None = None
    """The module that it needs beside those that are always installed."""
    has_one_rate: bool = False
    """Whether all that it trains learns at one rate."""

    def check(self, name: str) -> None:
        """Checks that the package it needs is installed.

        Raises:
            ConfigError: it is not.
        """
        if self.package and find_spec(self.package) is None:
            raise ConfigError(
                f"training.optimizer: {name} needs {self.package}; install it with pip install "
                "'fashion-sweep[optimizers]'"
            )


def _adamw(groups: Groups, config: TrainingConfig) -> "Optimizer":
    from torch.optim import AdamW

    return AdamW(groups, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay, fused=True)


def _adamw_8bit(groups: Groups, config: TrainingConfig) -> "Optimizer":
    from bitsandbytes.optim import AdamW8bit

    optimizer: Optimizer = AdamW8bit(
        groups, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
    )
    return optimizer


def _adafactor(groups: Groups, config: TrainingConfig) -> "Optimizer":
    from transformers.optimization import Adafactor

    return Adafactor(
        groups,
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        scale_parameter=False,
        relative_step=False,
    )


def _prodigy(groups: Groups, config: TrainingConfig) -> "Optimizer":
    from prodigyopt import Prodigy

    optimizer: Optimizer = Prodigy(
        groups,
        lr=config.learning_rate,
        betas=config.betas,
        weight_decay=config.weight_decay,
        use_bias_correction=True,
        safeguard_warmup=True,
    )
    return optimizer


ADAMW = OptimizerKind(_adamw, "torch.optim.adamw.AdamW")
ADAMW_8BIT = OptimizerKind(_adamw_8bit, "bitsandbytes.optim.adamw.AdamW8bit", "bitsandbytes")
"""AdamW whose state takes a byte a value: Dettmers et al. (2022), arXiv:2110.02861."""
ADAFACTOR = OptimizerKind(_adafactor, "transformers.optimization.Adafactor")
"""Shazeer & Stern (2018), arXiv:1804.04235, with the learning rate as given; it has no `betas`."""
PRODIGY = OptimizerKind(_prodigy, "prodigyopt.prodigy.Prodigy", "prodigyopt", has_one_rate=True)
"""Mishchenko & Defazio (2023), arXiv:2306.06101: it finds the rate, and `learning_rate` is a factor, usually 1."""
