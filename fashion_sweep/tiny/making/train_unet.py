"""Trains denoising (DDPM, arXiv:2006.11239) on general pictures: the base at all timesteps, the refiner at the last."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from fashion_sweep.tiny.making import architecture
from fashion_sweep.tiny.making.architecture import LATENT_CHANNELS
from fashion_sweep.tiny.making.corpus import Corpus
from fashion_sweep.tiny.making.fit import Recipe, fit, normal
from fashion_sweep.tiny.making.tokenizer import Tokenizers

BASE_RECIPE = Recipe("base", steps=12000, learning_rate=1.2e-3, decay=0.9993, cool_down=0.5)
REFINER_RECIPE = Recipe("refiner", steps=1200, learning_rate=1.2e-3, decay=0.998)
BATCH = 32
DROPPED = 0.1
"""The share of captions that are left out, for guidance."""
PORTRAIT_SHARE = 0.55
SNR_LIMIT = 5.0
"""The ratio of signal to noise to which the loss of timesteps with a higher one is scaled down (arXiv:2303.09556)."""
REFINER_TIMESTEPS = 250
GOOD, POOR = 6.0, 2.5
"""The aesthetic scores, as the refiner's pipeline gives them for the prompt and for the negative prompt."""


@dataclass(frozen=True)
class Encoders:
    """Holds text encoders with their tokenizers."""

    tokenizers: Tokenizers
    first_encoder: CLIPTextModel
    second_encoder: CLIPTextModelWithProjection

    def first(self, captions: list[str]) -> torch.Tensor:
        """Returns the first encoder's last hidden states but one: N,77,64."""
        return self.first_encoder(tokens_of(self.tokenizers[0], captions), output_hidden_states=True).hidden_states[-2]

    def second(self, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the second encoder's last hidden states but one, N,77,96, and the pooled embeddings N,96."""
        output = self.second_encoder(tokens_of(self.tokenizers[1], captions), output_hidden_states=True)
        return output.hidden_states[-2], output.text_embeds


def tokens_of(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    return tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids


@torch.no_grad()
def encode_pictures(vae: AutoencoderKL, corpus: Corpus, path: Path) -> np.ndarray:
    """Encodes all pictures to scaled latents, N,8*16*12 float16; kept in `path`."""
    if path.exists():
        return np.load(path)
    latents = np.zeros((len(corpus), LATENT_CHANNELS * 16 * 12), dtype=np.float16)
    for orientation in (True, False):
        for some in np.array_split(np.flatnonzero(corpus.portrait == orientation), 200):
            mean = vae.encode(corpus.images(some)).latent_dist.mean * vae.config.scaling_factor
            latents[some] = mean.flatten(1).half().numpy()
    temporary = path.with_name(f".{path.name}")
    np.save(temporary, latents)
    temporary.rename(path)
    return latents


class Batches:
    """Draws the pictures of a step, all portraits or all landscapes, each with one of its captions."""

    def __init__(self, latents: np.ndarray, corpus: Corpus) -> None:
        self.latents, self.corpus = latents, corpus
        self.portraits, self.landscapes = np.flatnonzero(corpus.portrait), np.flatnonzero(~corpus.portrait)

    def draw(self, rng: np.random.Generator) -> tuple[torch.Tensor, list[str], np.ndarray]:
        """Returns scaled latents N,8,h,w, N captions and time ids N,6."""
        portrait = rng.random() < PORTRAIT_SHARE
        chosen = rng.choice(self.portraits if portrait else self.landscapes, BATCH, replace=False)
        shape = (BATCH, LATENT_CHANNELS, *((16, 12) if portrait else (12, 16)))
        captions = [self.corpus.captions[i][rng.integers(len(self.corpus.captions[i]))] for i in chosen]
        return torch.from_numpy(self.latents[chosen]).float().view(shape), captions, self.corpus.time_ids[chosen]


class Denoising:
    """Computes the loss of one kind of UNet; `prepare` gives its inputs: embeddings, pooled embeddings, time ids."""

    def __init__(
        self,
        unet: UNet2DConditionModel,
        batches: Batches,
        prepare: Callable[
            [list[str], np.ndarray, np.random.Generator], tuple[torch.Tensor, torch.Tensor, torch.Tensor]
        ],
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

    def __init__(self, first: CLIPTextModel, second: CLIPTextModelWithProjection) -> None:
        super().__init__()
        self.first, self.second = first.requires_grad_(True), second.requires_grad_(True)
        torch.manual_seed(4)
        self.unet = architecture.base_unet()


def train_base(batches: Batches, encoders: Encoders, work: Path, export: Callable[[], None]) -> None:
    def prepare(
        captions: list[str], time_ids: np.ndarray, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        second, pooled = encoders.second(captions)
        kept = torch.from_numpy(rng.random(len(captions)) >= DROPPED).float()
        embeddings = torch.cat([encoders.first(captions), second], dim=-1) * kept[:, None, None]
        return embeddings, pooled * kept[:, None], torch.from_numpy(time_ids).float()

    base = Base(encoders.first_encoder, encoders.second_encoder)
    denoising = Denoising(base.unet, batches, prepare, timesteps=1000, weighted=True)
    fit(BASE_RECIPE, base, denoising, work, export)


def train_refiner(batches: Batches, encoders: Encoders, work: Path, export: Callable[[], None]) -> None:
    """Trains the refiner. Its pipeline encodes an empty negative prompt, with the poor score: so does the training."""

    def prepare(
        captions: list[str], time_ids: np.ndarray, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        kept = rng.random(len(captions)) >= DROPPED
        prompts = [caption if keep else "" for caption, keep in zip(captions, kept, strict=True)]
        scores = np.where(kept, GOOD, POOR)[:, None]
        with torch.no_grad():
            embeddings, pooled = encoders.second(prompts)
        return embeddings, pooled, torch.from_numpy(np.concatenate([time_ids[:, :4], scores], axis=1)).float()

    torch.manual_seed(5)
    unet = architecture.refiner_unet()
    denoising = Denoising(unet, batches, prepare, timesteps=REFINER_TIMESTEPS, weighted=False)
    fit(REFINER_RECIPE, unet, denoising, work, export)
