"""Trains the reader of attributes on rendered figures of both styles, some of which lack a head or legs."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn.functional import avg_pool2d, cross_entropy, interpolate

from fashion_sweep.tiny.attributes import ATTRIBUTES, HEADS, worn
from fashion_sweep.tiny.making import shards
from fashion_sweep.tiny.making.corpus import SEED, view
from fashion_sweep.tiny.making.fit import Recipe, fit, normal
from fashion_sweep.tiny.pictures import figure_picture
from fashion_sweep.tiny.reader import SIDE, Reader, answers

RECIPE = Recipe("reader", steps=2000, learning_rate=2e-3, decay=0.995, weight_decay=0.02, cool_down=0.6)
BATCH = 96
FIGURES, HELD_OUT = 28 * shards.SHARD, 2 * shards.SHARD
SHARDS = {"figures": 30}
BLENDED, BLURRED = 0.08, 0.5
"""The shares of pictures that are two in one, which is no whole figure, and that are softened."""


class Figures:
    """Holds rendered figures: `pixels` N,64,64,3 uint8 and `labels` N,7 int64, in the order of `HEADS`."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        self.pixels, self.labels = pixels, labels

    def images(self, indices: np.ndarray) -> torch.Tensor:
        """Returns N,3,64,64 in [-1, 1]."""
        return torch.from_numpy(self.pixels[indices]).permute(0, 3, 1, 2).float() / 127.5 - 1


def render(work: Path, workers: int) -> None:
    """Writes the shards that are missing."""
    shards.render(work, SHARDS, paint, workers)


def paint(domain: str, numbers: range) -> dict[str, np.ndarray]:
    pixels = np.full((len(numbers), SIDE, SIDE, 3), 127, dtype=np.uint8)
    labels = np.zeros((len(numbers), len(HEADS)), dtype=np.int64)
    for row, index in enumerate(numbers):
        picture, whole = figure_picture(SEED, index)
        flat, portrait, _, _ = view(picture, np.random.default_rng(index))
        height, width = (SIDE, SIDE * 3 // 4) if portrait else (SIDE * 3 // 4, SIDE)
        top, left = (SIDE - height) // 2, (SIDE - width) // 2
        pixels[row, top : top + height, left : left + width] = flat.reshape(height, width, 3)
        assert picture.outfit is not None
        values = worn(picture.outfit)
        labels[row] = [int(whole), *(ATTRIBUTES[name].index(values[name]) for name in ATTRIBUTES)]
    return {"pixels": pixels, "labels": labels}


def load_figures(work: Path, held_out: bool) -> Figures:
    first, last = FIGURES // shards.SHARD, SHARDS["figures"]
    parts = list(shards.load(work, "figures", range(first, last) if held_out else range(first)))
    return Figures(*(np.concatenate([part[name] for part in parts]) for name in ("pixels", "labels")))


def is_rendered(work: Path) -> bool:
    return shards.are_rendered(work, SHARDS)


def train_reader(work: Path) -> None:
    figures = load_figures(work, held_out=False)
    torch.manual_seed(7)
    model = Reader()

    def loss(rng: np.random.Generator) -> torch.Tensor:
        chosen = rng.choice(len(figures.pixels), BATCH, replace=False)
        images, labels = figures.images(chosen), torch.from_numpy(figures.labels[chosen])
        if rng.random() < BLURRED:
            images = interpolate(avg_pool2d(images, 2), scale_factor=2, mode="bilinear")
        images = images + 0.05 * rng.random() * normal(rng, images.shape)
        blended = torch.from_numpy(rng.random(BATCH) < BLENDED)
        share = torch.from_numpy(rng.uniform(0.35, 0.65, (BATCH, 1, 1, 1)).astype(np.float32))
        images = torch.where(blended.view(-1, 1, 1, 1), share * images + (1 - share) * images.roll(1, 0), images)
        return answered(model(images), labels, blended)

    fit(RECIPE, model, loss, work)


def answered(logits: torch.Tensor, labels: torch.Tensor, blended: torch.Tensor) -> torch.Tensor:
    """Returns the mean cross-entropy over questions; of blended pictures, only whether they are whole is asked."""
    losses = []
    for number, part in enumerate(logits.split(list(HEADS.values()), dim=1)):
        if number == 0:
            losses.append(cross_entropy(part, torch.where(blended, 0, labels[:, 0])))
        else:
            losses.append(cross_entropy(part[~blended], labels[~blended, number]))
    return torch.stack(losses).mean()


@torch.no_grad()
def accuracy(reader: torch.nn.Module, work: Path) -> dict[str, float]:
    """Returns the share of right answers to each question, on rendered figures that were not trained on."""
    figures = load_figures(work, held_out=True)
    parts = [reader(figures.images(some)) for some in np.array_split(np.arange(len(figures.pixels)), 20)]
    found = answers(torch.cat(parts))
    labels = torch.from_numpy(figures.labels)
    return {name: float((found[name] == labels[:, place]).float().mean()) for place, name in enumerate(HEADS)}


def save(reader: torch.nn.Module, folder: Path) -> None:
    """Saves the reader, in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().half().contiguous() for name, tensor in reader.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
