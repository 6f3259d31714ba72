"""Draws what both denoisers learn from: latents of general pictures, each with one of its captions."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

from fashion_sweep.tiny.making.architecture import LATENT_CHANNELS
from fashion_sweep.tiny.making.corpus import Corpus

BATCH = 32
DROPPED = 0.1
"""The share of captions that are left out, for guidance."""
PORTRAIT_SHARE = 0.55


def tokens_of(tokenizer: CLIPTokenizer, captions: list[str]) -> torch.Tensor:
    return tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids


@torch.no_grad()
def encode_pictures(vae: AutoencoderKL, corpus: Corpus, work: Path) -> np.ndarray:
    """Encodes all pictures to scaled latents, N,8*16*12 float16, which are kept for this autoencoder."""
    weights = hashlib.blake2b(digest_size=6)
    for tensor in (*vae.encoder.state_dict().values(), *vae.quant_conv.state_dict().values()):
        weights.update(tensor.numpy().tobytes())
    path = work / f"latents-{len(corpus)}-{weights.hexdigest()}.npy"
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

    def __init__(self, latents: np.ndarray, corpus: Corpus, photographs_alone: bool = False) -> None:
        self.latents, self.corpus = latents, corpus
        kept = corpus.photographs if photographs_alone else np.full(len(corpus), True)
        self.portraits, self.landscapes = (
            np.flatnonzero(corpus.portrait & kept),
            np.flatnonzero(~corpus.portrait & kept),
        )

    def draw(self, rng: np.random.Generator) -> tuple[torch.Tensor, list[str], np.ndarray]:
        """Returns scaled latents N,8,h,w, N captions and time ids N,6."""
        portrait = rng.random() < PORTRAIT_SHARE
        chosen = rng.choice(self.portraits if portrait else self.landscapes, BATCH, replace=False)
        shape = (BATCH, LATENT_CHANNELS, *((16, 12) if portrait else (12, 16)))
        captions = [self.corpus.captions[i][rng.integers(len(self.corpus.captions[i]))] for i in chosen]
        return torch.from_numpy(self.latents[chosen]).float().view(shape), captions, self.corpus.time_ids[chosen]
