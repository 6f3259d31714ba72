"""The settings of a Stable Diffusion XL in a preset, beyond those of all base models."""

from typing import Self

from pydantic import Field

from fashion_sweep.config.model_config import ModelConfig, randomly_filled


class SDXLConfig(ModelConfig):
    """The `model` section of a preset whose base model is an SDXL."""

    refiner: str | None = Field(None, min_length=1)
    """The model that makes the last steps of a picture, named as the base is."""
    vae: str | None = Field(None, min_length=1)
    """The autoencoder of base and refiner, named as the base is; null: the base's. It always computes in float32."""

    @property
    def second_model(self) -> str | None:
        return self.refiner

    def with_random_weights(self) -> Self:
        refiner = randomly_filled(self.refiner) if self.refiner else None
        return super().with_random_weights().model_copy(update={"refiner": refiner})
