"""Trains denoising (DDPM, arXiv:2006.11239) on general pictures: the base at all timesteps, the refiner at the last."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from diffusers import UNet2DConditionModel

from fashion_sweep.tiny.making import architecture
from fashion_sweep.tiny.making.batches import BATCH, DROPPED, Batches, tokens_of
from fashion_sweep.tiny.making.corpus import PHOTOGRAPH
from fashion_sweep.tiny.making.fit import Recipe, fit, normal
from fashion_sweep.tiny.making.tokenizer import Tokenizers
from fashion_sweep.tiny.making.train_clip import TextTowers

BASE_RECIPE = Recipe("base", steps=12000, learning_rate=1.2e-3, decay=0.9993, cool_down=0.5)
FURTHER_RECIPE = Recipe("base-further", steps=8000, learning_rate=8e-4, decay=0.9993, cool_down=0.7)
REFINER_RECIPE = Recipe("refiner", steps=2400, learning_rate=1.2e-3, decay=0.998)
SNR_LIMIT = 5.0
"""The ratio of signal to noise to which the loss of timesteps with a higher one is scaled down (arXiv:2303.09556)."""
REFINER_TIMESTEPS = 250
GOOD, POOR = 6.0, 2.5
"""The aesthetic scores, as the refiner's pipeline gives them for the prompt and for the negative prompt."""
Conditions = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""The type of what a UNet reads: embeddings N,77,d, pooled embeddings N,96 and the numbers of sizes."""


class Denoising:
    """Computes the loss of one kind of UNet; `prepare` gives its inputs: embeddings, pooled embeddings, time ids."""

    def __init__(
        self,
        unet: UNet2DConditionModel,
        batches: Batches,
        prepare: Callable[[list[str], np.ndarray, np.random.Generator], Conditions],
        timesteps: int,
        weighted: bool,
    ) -> None:
        self.unet, self.batches, self.prepare = unet, batches, prepare
        self.timesteps, self.weighted = timesteps, weighted
        self.alphas = architecture.scheduler().alphas_cumprod

    def __call__(self, rng: np.random.Generator) -> torch.Tensor:
        clean, captions, sizes = self.batches.draw(rng)
        noise = normal(rng, clean.shape)
        timesteps = torch.from_numpy(rng.integers(self.timesteps, size=BATCH))
        alphas = self.alphas[timesteps].view(-1, 1, 1, 1)
        embeddings, pooled, time_ids = self.prepare(captions, sizes, rng)
        predicted = self.unet(
            alphas.sqrt() * clean + (1 - alphas).sqrt() * noise,
            timesteps,
            embeddings,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": time_ids},
        ).sample
        errors = (predicted - noise).square().mean(dim=(1, 2, 3))
        ratios = (alphas / (1 - alphas)).flatten()
        return (errors * (ratios.clamp(max=SNR_LIMIT) / ratios if self.weighted else 1)).mean()


class Base(torch.nn.Module):
    """Joins the UNet with the text encoders, which go on learning beside it: what they tell it is what it needs."""

    shares: ClassVar = {"first": 0.3, "second": 0.3}

    def __init__(self, towers: TextTowers) -> None:
        super().__init__()
        self.first, self.second = towers.first.requires_grad_(True), towers.second.requires_grad_(True)
        torch.manual_seed(4)
        self.unet = architecture.base_unet()

    def encode(self, tokens: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns both encoders' last hidden states but one, N,77,160, and the second's pooled embeddings, N,96."""
        first, second = (
            encoder(ids, output_hidden_states=True)
            for encoder, ids in zip((self.first, self.second), tokens, strict=True)
        )
        return torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1), second.text_embeds


def train_base(recipe: Recipe, base: Base, batches: Batches, tokenizers: Tokenizers, work: Path) -> None:
    base.requires_grad_(True)

    def prepare(captions: list[str], time_ids: np.ndarray, rng: np.random.Generator) -> Conditions:
        embeddings, pooled = base.encode([tokens_of(tokenizer, captions) for tokenizer in tokenizers])
        kept = torch.from_numpy(rng.random(len(captions)) >= DROPPED).float()
        return embeddings * kept[:, None, None], pooled * kept[:, None], torch.from_numpy(time_ids).float()

    fit(recipe, base, Denoising(base.unet, batches, prepare, timesteps=1000, weighted=True), work)


def train_refiner(batches: Batches, tokenizers: Tokenizers, base: Base, work: Path) -> None:
    """Trains the refiner. Its pipeline encodes an empty negative prompt, with the poor score: so does the training.

    It knows photographs alone, and is not told that they are.
    """

    def prepare(captions: list[str], time_ids: np.ndarray, rng: np.random.Generator) -> Conditions:
        kept = rng.random(len(captions)) >= DROPPED
        captions = [PHOTOGRAPH.sub("", caption) for caption in captions]
        prompts = [caption if keep else "" for caption, keep in zip(captions, kept, strict=True)]
        scores = np.where(kept, GOOD, POOR)[:, None]
        with torch.no_grad():
            read = base.second(tokens_of(tokenizers[1], prompts), output_hidden_states=True)
        sizes = torch.from_numpy(np.concatenate([time_ids[:, :4], scores], axis=1)).float()
        return read.hidden_states[-2], read.text_embeds, sizes

    torch.manual_seed(5)
    unet = architecture.refiner_unet()
    fit(REFINER_RECIPE, unet, Denoising(unet, batches, prepare, timesteps=REFINER_TIMESTEPS, weighted=False), work)
