"""The rates of a GPU that forecasts assume before anything is measured. Without torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """The operations a second that a GPU sustains, by the precision in which parts of the work are done."""

    bfloat16: float
    """Operations a second of denoisers and text encoders."""

    @property
    def tf32(self) -> float:
        """Operations a second of the autoencoder, which is in float32, and whose convolutions GPUs compute as TF32."""
        return self.bfloat16 / 3

    @property
    def float32(self) -> float:
        """Operations a second of feature extractors, for which TF32 is off."""
        return self.bfloat16 / 11


ASSUMED = Gpu(bfloat16=90e12)
"""The GPU that forecasts assume, of the class of an A100, whose peak is 312e12; not a measurement."""
