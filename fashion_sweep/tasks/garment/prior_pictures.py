"""Draws and encodes the pictures of prior preservation: Ruiz et al. 2023, https://arxiv.org/abs/2208.12242."""

import torch
from torch import Tensor

from fashion_sweep.data.catalogue import Catalogue
from fashion_sweep.data.transforms import to_model_range
from fashion_sweep.encodings.encoders import encode_captions
from fashion_sweep.generation.drawing import draw
from fashion_sweep.generation.generator import Generator
from fashion_sweep.models.model import Framing, Model
from fashion_sweep.rng import standard_normal
from fashion_sweep.run.status import Alive
from fashion_sweep.tasks.garment.prior import Prior
from fashion_sweep.training.batches import LATENTS


def draw_and_encode(model: Model, part: Prior, catalogue: Catalogue, rows: slice, alive: Alive) -> dict[str, Tensor]:
    """Draws each picture by itself, so that it does not depend on where a shard begins, and encodes it."""
    generation, size = part.config.preset.generation, part.size
    generator = Generator(model, generation, size, (size.height, size.width), None, on_step=alive)
    numbers = range(part.rows(0, 0))[rows]
    captions = [part.caption(kind) for kind in part.kinds for _ in range(part.prior.images)][rows]
    shape = model.latent_shape(size.height, size.width)
    latents = []

    def keep(indices: range, images: Tensor) -> None:
        noise = standard_normal(generation.seed, "prior/posterior", numbers[indices.start], shape=shape)
        pixels = to_model_range(images.movedim(1, -1).cpu().numpy())
        latents.append(model.encode_images(pixels, noise[None])[0].half().cpu())
        alive()

    draw(generator, captions, [(generation.seed, number) for number in numbers], keep, batch_size=1)
    whole = Framing((size.height, size.width), (0, 0), (size.height, size.width))
    framing = dict(model.encode_framing([whole] * len(latents)))
    return {LATENTS: torch.stack(latents)} | framing | encode_captions(model, captions, alive)
