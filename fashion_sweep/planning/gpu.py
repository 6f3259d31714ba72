"""What a GPU sustains, as forecasts assume it before anything is measured. Without torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """Operations that a GPU sustains, by the precision in which parts of the work are done."""

    bfloat16: float
    """A second, by denoisers and text encoders."""

    @property
    def tf32(self) -> float:
        """A second, by the autoencoder, which is in float32, and whose convolutions GPUs compute as TF32."""
        return self.bfloat16 / 3

    @property
    def float32(self) -> float:
        """A second, by feature extractors, for which TF32 is off."""
        return self.bfloat16 / 11


ASSUMED = Gpu(bfloat16=90e12)
"""Of the class of an A100, whose peak is 312e12; an assumption, not a measurement."""
