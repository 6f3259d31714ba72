"""The settings of a Stable Diffusion 3 in a preset, beyond those of all base models."""

from pydantic import Field, PositiveFloat

from fashion_sweep.config.model_config import ModelConfig

T5 = "text_encoder_3"
"""The component of a pipeline that T5 is."""


class SD3Config(ModelConfig):
    """The `model` section of a preset whose base model is a Stable Diffusion 3 or 3.5."""

    t5: bool = True
    """Whether the third text encoder, T5, reads captions; without it zeros stand for what it says."""
    max_sequence_length: int = Field(256, ge=0, le=512)
    """The number of T5's tokens that a caption gets, or of zeros in their place."""
    shift: PositiveFloat | None = None
    """Above 1, training and drawing spend more of their steps at high noise; null: the model's own."""
    logit_mean: float = 0.0
    """The mean of the logits of training's noise levels, before the shift: above 0, more of them are noisy."""
    logit_std: PositiveFloat = 1.0
    """The standard deviation of the logits of training's noise levels."""

    @property
    def reads_t5(self) -> bool:
        """Whether T5 reads anything."""
        return self.t5 and self.max_sequence_length > 0
