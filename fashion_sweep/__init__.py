"""Find the LoRA configuration of Stable Diffusion XL that a fashion catalogue should use."""

__version__ = "0.1.0"
