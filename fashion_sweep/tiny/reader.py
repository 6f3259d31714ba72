"""Defines the network that tells what a figure wears, and whether it is whole: trained on what the renderer painted."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from fashion_sweep.tiny.attributes import HEADS

SIDE = 64
"""The height and width of what the network sees, in pixels."""
WIDTHS = (24, 48, 96, 128, 96)


class Reader(nn.Module):
    """A convolutional network with one linear head for all questions of `HEADS`."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, (before, width) in enumerate(zip((3, *WIDTHS), WIDTHS, strict=False)):
            stride = 1 if number == 0 else 2
            layers += [nn.Conv2d(before, width, 3, stride, padding=1), nn.GroupNorm(8, width), nn.SiLU()]
        self.trunk = nn.Sequential(*layers, nn.Flatten(), nn.Linear(WIDTHS[-1] * (SIDE // 16) ** 2, 192), nn.SiLU())
        self.head = nn.Linear(192, sum(HEADS.values()))

    def forward(self, images: Tensor) -> Tensor:
        """Computes logits N,37, in the order of `HEADS`, of images N,3,64,64 in [-1, 1]."""
        logits: Tensor = self.head(self.trunk(images))
        return logits


def framed(images: Tensor) -> Tensor:
    """Scales N,3,H,W in [-1, 1] until the longer side has 64 pixels, and pads the other with grey: N,3,64,64."""
    height, width = images.shape[-2:]
    if max(height, width) != SIDE:
        scale = SIDE / max(height, width)
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
        images = functional.interpolate(images, (height, width), mode="bicubic", antialias=True).clamp(-1, 1)
    left, top = (SIDE - width) // 2, (SIDE - height) // 2
    return functional.pad(images, (left, SIDE - width - left, top, SIDE - height - top))


def answers(logits: Tensor) -> dict[str, Tensor]:
    """Returns the number of the likeliest answer to each question of `HEADS`, N int64 each."""
    parts = logits.split(list(HEADS.values()), dim=1)
    return {name: part.argmax(dim=1) for name, part in zip(HEADS, parts, strict=True)}


class ReaderNetwork:
    """The reader that is shipped, frozen, in float32: as `metrics.extractors.Network`."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        weights = load_file(folder / "model.safetensors")
        self.model, self.device = Reader(), device
        self.model.load_state_dict({name: tensor.float() for name, tensor in weights.items()})
        self.model.to(device).eval().requires_grad_(False)

    @torch.inference_mode()
    def image_features(self, images: Tensor) -> Tensor:
        """Computes logits N,37 float32, in the order of `HEADS`, of images uint8 N,3,H,W."""
        logits: Tensor = self.model(framed(images.to(self.device).float() / 127.5 - 1))
        return logits.cpu()
