"""Trains denoising (DDPM, arXiv:2006.11239) on general pictures: the base at all timesteps, the refiner at the last."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from fashion_sweep.tiny.making import architecture
from fashion_sweep.tiny.making.corpus import Corpus
from fashion_sweep.tiny.making.fit import Recipe, fit, normal

BASE_RECIPE = Recipe("base", steps=7200, learning_rate=1.2e-3, decay=0.9985)
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
    """Holds frozen text encoders with their tokenizers."""

    tokenizer: CLIPTokenizer
    tokenizer_2: CLIPTokenizer
    text_encoder: CLIPTextModel
    text_encoder_2: CLIPTextModelWithProjection

    @torch.no_grad()
    def first(self, captions: list[str]) -> torch.Tensor:
        """Returns the first encoder's last hidden states but one: N,77,64."""
        return self.text_encoder(_tokens(self.tokenizer, captions), output_hidden_states=True).hidden_states[-2]

    @torch.no_grad()
    def second(self, captions: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the second encoder's last hidden states but one, N,77,96, and the pooled embeddings N,96."""
        output = self.text_encoder_2(_tokens(self.tokenizer_2, captions), output_hidden_states=True)
        return output.hidden_states[-2], output.text_embeds


def _tokens(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    return tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids


@torch.no_grad()
def encode_pictures(vae: AutoencoderKL, corpus: Corpus, path: Path) -> np.ndarray:
    """Encodes all pictures to scaled latents, N,4*16*12 float16; kept in `path`."""
    if path.exists():
        return np.load(path)
    latents = np.zeros((len(corpus), 4 * 16 * 12), dtype=np.float16)
    for orientation in (True, False):
        for some in np.array_split(np.flatnonzero(corpus.portrait == orientation), 200):
            mean = vae.encode(corpus.images(some)).latent_dist.mean * vae.config.scaling_factor
            latents[some] = mean.flatten(1).half().numpy()
    temporary = path.with_name(f".{path.name}")
    np.save(temporary, latents)
    temporary.rename(path)
    return latents


class Denoising:
    """Computes the loss of one kind of UNet; `prepare` gives its inputs: embeddings, pooled embeddings, time ids."""

    def __init__(
        self,
        unet: UNet2DConditionModel,
        latents: np.ndarray,
        corpus: Corpus,
        prepare: Callable[
            [list[str], np.ndarray, np.random.Generator], tuple[torch.Tensor, torch.Tensor, torch.Tensor]
        ],
        timesteps: int,
        weighted: bool,
    ) -> None:
        self.unet, self.latents, self.corpus, self.prepare = unet, latents, corpus, prepare
        self.timesteps, self.weighted = timesteps, weighted
        self.alphas = architecture.scheduler().alphas_cumprod
        self.portraits, self.landscapes = np.flatnonzero(corpus.portrait), np.flatnonzero(~corpus.portrait)

    def __call__(self, rng: np.random.Generator) -> torch.Tensor:
        portrait = rng.random() < PORTRAIT_SHARE
        chosen = rng.choice(self.portraits if portrait else self.landscapes, BATCH, replace=False)
        shape = (BATCH, 4, 16, 12) if portrait else (BATCH, 4, 12, 16)
        clean = torch.from_numpy(self.latents[chosen]).float().view(shape)
        noise = normal(rng, shape)
        timesteps = torch.from_numpy(rng.integers(self.timesteps, size=BATCH))
        alphas = self.alphas[timesteps].view(-1, 1, 1, 1)
        captions = [self.corpus.captions[i][rng.integers(len(self.corpus.captions[i]))] for i in chosen]
        embeddings, pooled, time_ids = self.prepare(captions, self.corpus.time_ids[chosen], rng)
        predicted = self.unet(
            alphas.sqrt() * clean + (1 - alphas).sqrt() * noise,
            timesteps,
            embeddings,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": time_ids},
        ).sample
        errors = (predicted - noise).square().mean(dim=(1, 2, 3))
        ratios = (alphas / (1 - alphas)).flatten()
        return (errors * (ratios.clamp(max=SNR_LIMIT) / ratios if self.weighted else 1)).mean()


def train_base(corpus: Corpus, latents: np.ndarray, encoders: Encoders, work: Path, export: Callable[[], None]) -> None:
    def prepare(
        captions: list[str], time_ids: np.ndarray, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        second, pooled = encoders.second(captions)
        kept = torch.from_numpy(rng.random(len(captions)) >= DROPPED).float()
        embeddings = torch.cat([encoders.first(captions), second], dim=-1) * kept[:, None, None]
        return embeddings, pooled * kept[:, None], torch.from_numpy(time_ids).float()

    torch.manual_seed(4)
    unet = architecture.base_unet()
    denoising = Denoising(unet, latents, corpus, prepare, timesteps=1000, weighted=True)
    fit(BASE_RECIPE, unet, denoising, work, export)


def train_refiner(
    corpus: Corpus, latents: np.ndarray, encoders: Encoders, work: Path, export: Callable[[], None]
) -> None:
    """Trains the refiner. Its pipeline encodes an empty negative prompt, with the poor score: so does the training."""

    def prepare(
        captions: list[str], time_ids: np.ndarray, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        kept = rng.random(len(captions)) >= DROPPED
        prompts = [caption if keep else "" for caption, keep in zip(captions, kept, strict=True)]
        scores = np.where(kept, GOOD, POOR)[:, None]
        return *encoders.second(prompts), torch.from_numpy(np.concatenate([time_ids[:, :4], scores], axis=1)).float()

    torch.manual_seed(5)
    unet = architecture.refiner_unet()
    denoising = Denoising(unet, latents, corpus, prepare, timesteps=REFINER_TIMESTEPS, weighted=False)
    fit(REFINER_RECIPE, unet, denoising, work, export)
