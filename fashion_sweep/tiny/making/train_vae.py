"""Trains the autoencoder by errors of pixels and their differences at two scales and a little KL; then its decoder."""

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch.nn.functional import avg_pool2d

from fashion_sweep.tiny.making import architecture
from fashion_sweep.tiny.making.corpus import Corpus
from fashion_sweep.tiny.making.fit import Recipe, fit, normal, trained

RECIPE = Recipe("vae", steps=4400, learning_rate=5e-3, decay=0.998, weight_decay=1e-4, warm_up=50, cool_down=0.7)
DECODER_RECIPE = Recipe("decoder", steps=3000, learning_rate=2e-3, decay=0.998, weight_decay=1e-4, cool_down=0.6)
BATCH, CROP = 16, 32
CROPS = 0.9
"""The share of batches that are crops: as good to learn from, and cheaper."""
SQUARED_WEIGHT, EDGE_WEIGHT = 10.0, 0.3
KL_WEIGHT = 1e-6
"""The weight of the KL per nat of an image, beside errors per pixel."""
SPREAD_WEIGHT = 0.1
"""The weight of `spread`; without it two channels say what the other two say."""


class Reconstruction(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.vae = architecture.autoencoder()

    def forward(self, images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        posterior = self.vae.encode(images).latent_dist
        latents = posterior.mean + posterior.std * normal(rng, posterior.mean.shape)
        decoded = self.vae.decode(latents).sample
        return distance(decoded, images) + KL_WEIGHT * posterior.kl().mean() + SPREAD_WEIGHT * spread(posterior.mean)

    def freeze_encoder(self) -> None:
        self.vae.encoder.requires_grad_(False)
        self.vae.quant_conv.requires_grad_(False)


def distance(decoded: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Returns squared error plus absolute error of neighbours' differences, at scales 1 and 1/2, of N,3,H,W each."""
    total = torch.zeros(())
    for _ in range(2):
        error = decoded - images
        edges = (error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()) / 2
        total = total + SQUARED_WEIGHT * error.square().mean() + EDGE_WEIGHT * edges
        decoded, images = avg_pool2d(decoded, 2), avg_pool2d(images, 2)
    return total


def spread(latents: torch.Tensor) -> torch.Tensor:
    """Returns how far the channels of N,c,h,w are from unit variance and no correlation (VICReg, arXiv:2105.04906)."""
    covariance = torch.cov(latents.transpose(0, 1).flatten(1))
    return (covariance - torch.eye(len(covariance))).square().mean()


def train_vae(both: Corpus, work: Path) -> None:
    torch.manual_seed(3)
    _train(RECIPE, Reconstruction(), both, work)


def train_decoder(both: Corpus, work: Path) -> None:
    """Goes on with the decoder alone, so that latents stay what they are."""
    model = trained(RECIPE, Reconstruction(), work).requires_grad_(True)
    model.freeze_encoder()
    _train(DECODER_RECIPE, model, both, work)


def _train(recipe: Recipe, model: Reconstruction, both: Corpus, work: Path) -> None:
    orientations = [np.flatnonzero(both.portrait), np.flatnonzero(~both.portrait)]

    def loss(rng: np.random.Generator) -> torch.Tensor:
        images = both.images(rng.choice(orientations[int(rng.random() < 0.3)], BATCH))
        if rng.random() < CROPS:
            top, left = (int(rng.integers(side - CROP + 1)) for side in images.shape[-2:])
            images = images[..., top : top + CROP, left : left + CROP]
        return model(images, rng)

    fit(recipe, model, loss, work)


def encoder(work: Path) -> AutoencoderKL:
    """Returns the autoencoder with the encoder that latents are from."""
    return trained(RECIPE, Reconstruction(), work).vae


def whole(work: Path, unfinished: bool) -> AutoencoderKL:
    """Returns the autoencoder with the decoder that was trained further."""
    model = trained(RECIPE, Reconstruction(), work, unfinished)
    return trained(DECODER_RECIPE, model, work, unfinished).vae


@torch.no_grad()
def scaling_factor(vae: AutoencoderKL, corpus: Corpus) -> float:
    """Returns the factor that gives latents a standard deviation of 1."""
    some = np.flatnonzero(corpus.portrait)[::40][:256]
    return round(1 / float(vae.encode(corpus.images(some)).latent_dist.mean.std()), 5)
