"""Find the LoRA configuration that a fashion catalogue should use for its image model."""

__version__ = "0.1.0"
