"""Embeds a small world: a renderer of pictures with captions, tiny base models and a tiny CLIP, and how they were made.

`world` writes the two data sets, `pretrain` makes the weights, NOTES.md beside the weights says what came of it.
"""

from pathlib import Path

WEIGHTS = Path(__file__).resolve().parent / "weights"
"""The folders of the models, as diffusers and open_clip load them, for images of 64x48 and 48x64 (height x width):
`base`, a `StableDiffusionXLPipeline`; `refiner`, a `StableDiffusionXLImg2ImgPipeline`, for the last quarter of the
timesteps; `sd3`, a `StableDiffusion3Pipeline` without T5; `clip`."""
READER = WEIGHTS / "reader"
"""The network that tells what a figure wears: `reader.ReaderNetwork`."""
RENDERED = ("deepfashion", "coco")
"""The layouts that the embedded world is rendered in: dressed figures in the first, scenes in the other."""
