"""The settings of training: what a preset says under `training`."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from pydantic import NonNegativeInt as Count

from fashion_sweep.config.data_source import Size
from fashion_sweep.config.sweep import SetName
from fashion_sweep.config.training_axes import TrainingAxes

Decay = Annotated[float, Field(ge=0, lt=1)]


class TrainingConfig(TrainingAxes):
    """The `training` section of a preset: what trials may set for themselves, and what all of them share."""

    data_set: SetName | None = None
    """The data set of `data` that is trained on; the others are only judged on. null: the only one that there is."""
    batch_size: PositiveInt = 16
    """The global batch size, over all workers and accumulation steps."""
    micro_batch_size: PositiveInt | Literal["auto"] | None = None
    """The samples that a worker sends through the model at once, its share of the batch at most; null: all of that.
    With the same value, any number of workers gives the same adapter; halved where memory does not suffice.
    auto: what fits and is fastest, by a probe of the GPU as a run begins."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    max_grad_norm: PositiveFloat = 1.0
    seed: Count = 0
    autocast: Literal["bf16", "no"] = "bf16"
    tf32: bool = True
    """Whether CUDA devices may compute float32 as TF32 in training; for features they never do."""
    gradient_checkpointing: bool | Literal["auto"] = False
    """Whether activations are computed again for the backward pass, in place of being kept: less memory, half as many
    operations again. auto: where a probe of the GPU finds that slower or memory does not suffice, and without a GPU."""
    image: Size
    views: PositiveInt = 4
    """The number of augmented views (crop, flip) that are kept per training image."""
    validation_fraction: float = Field(0.05, gt=0, lt=1)
    validation_every: PositiveInt = 50
    """The number of steps between two validations, which are also the reports to Ray Tune."""
    checkpoint_every: PositiveInt = 100
    """The number of steps between two checkpoints."""

    def samples_at_once(self, share: int) -> int:
        """Returns how many of a worker's share of the batch go through the model at once, where nothing is settled."""
        return min(self.micro_batch_size, share) if isinstance(self.micro_batch_size, int) else share

    @model_validator(mode="after")
    def _one_length(self) -> "TrainingConfig":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("exactly one of epochs and steps must be set")
        return self
