"""Trains the transformer of the embedded Stable Diffusion 3 by rectified flow (arXiv:2403.03206), as `train_unet` does
the base's UNet: on general pictures, with its text encoders."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from diffusers import SD3Transformer2DModel
from transformers import CLIPTextModelWithProjection

from fashion_sweep.tiny.making import architecture
from fashion_sweep.tiny.making.batches import BATCH, DROPPED, Batches, tokens_of
from fashion_sweep.tiny.making.fit import Recipe, fit, normal
from fashion_sweep.tiny.making.tokenizer import Tokenizers
from fashion_sweep.tiny.making.train_clip import TextTowers

RECIPE = Recipe("transformer", steps=12000, learning_rate=1e-3, decay=0.9993, warm_up=500, cool_down=0.5)
FURTHER_RECIPE = Recipe("transformer-further", steps=8000, learning_rate=7e-4, decay=0.9993, cool_down=0.7)


class Flow(torch.nn.Module):
    """Joins the transformer with its text encoders, which go on learning beside it."""

    shares: ClassVar = {"first": 0.3, "second": 0.3}

    def __init__(self, towers: TextTowers) -> None:
        super().__init__()
        torch.manual_seed(6)
        self.first: CLIPTextModelWithProjection = architecture.projected(towers.first)
        self.second: CLIPTextModelWithProjection = towers.second.requires_grad_(True)
        self.transformer: SD3Transformer2DModel = architecture.transformer()

    def encode(self, tokens: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the last hidden states but one of both encoders, N,77,160, and their pooled embeddings, N,160."""
        outputs = [
            encoder(ids, output_hidden_states=True)
            for encoder, ids in zip((self.first, self.second), tokens, strict=True)
        ]
        states = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        return states, torch.cat([output.text_embeds for output in outputs], dim=-1)


def train_transformer(
    recipe: Recipe, flow: Flow, batches: Batches, tokenizers: Tokenizers, work: Path, shift: float = 1.0
) -> None:
    """Trains the transformer; a `shift` above 1 spends more on high noise (as the paper's images of high resolution
    need it, and style here), which is as the scheduler has it in the end."""
    flow.requires_grad_(True)

    def loss(rng: np.random.Generator) -> torch.Tensor:
        clean, captions, _ = batches.draw(rng)
        kept = rng.random(BATCH) >= DROPPED
        captions = [caption if keep else "" for caption, keep in zip(captions, kept, strict=True)]
        states, pooled = flow.encode([tokens_of(tokenizer, captions) for tokenizer in tokenizers])
        noise = normal(rng, clean.shape)
        sigmas = torch.sigmoid(normal(rng, (BATCH,)))
        sigmas = shift * sigmas / (1 + (shift - 1) * sigmas)
        share = sigmas.view(-1, 1, 1, 1)
        predicted = flow.transformer(
            hidden_states=(1 - share) * clean + share * noise,
            timestep=1000 * sigmas,
            encoder_hidden_states=states,
            pooled_projections=pooled,
        ).sample
        return (predicted - (noise - clean)).square().mean()

    fit(recipe, flow, loss, work)
