"""Embeds a small world: a renderer of pictures with captions, tiny base models and a tiny CLIP, and how they were made.

`world` writes the two data sets, `pretrain` makes the weights, NOTES.md beside the weights says what came of it.
"""

from pathlib import Path

WEIGHTS = Path(__file__).resolve().parent / "weights"
BASE = WEIGHTS / "base"
"""The `StableDiffusionXLPipeline` folder, for images of 64x48 and 48x64 (height x width)."""
REFINER = WEIGHTS / "refiner"
"""The `StableDiffusionXLImg2ImgPipeline` folder: denoises the last quarter of the timesteps."""
CLIP = WEIGHTS / "clip"
"""The open_clip folder: `open_clip.create_model_and_transforms(f"local-dir:{CLIP}")`."""
SD3 = WEIGHTS / "sd3"
"""The `StableDiffusion3Pipeline` folder, for the same images; it has no T5."""
READER = WEIGHTS / "reader"
"""The network that tells what a figure wears: `reader.ReaderNetwork`."""
RENDERED = ("deepfashion", "coco")
"""The layouts that the embedded world is rendered in: dressed figures in the first, scenes in the other."""
