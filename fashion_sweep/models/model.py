"""What training, drawing and judging need of a loaded base model, whatever its architecture."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

from fashion_sweep.config.preset import GenerationConfig

Conditioning: TypeAlias = Mapping[str, Tensor]
"""What a model is conditioned on, a row a sample; what the tensors mean is nobody's business but that model's."""


@dataclass(frozen=True)
class Framing:
    """How a picture of the model's size was cut from an original. All in pixels."""

    original_size: tuple[int, int]
    """(height, width)."""
    corner: tuple[int, int]
    """(top, left) of the crop."""
    size: tuple[int, int]
    """(height, width) of what was cut out."""


@dataclass(frozen=True)
class Batch:
    """N clean samples, and the noise that is to be told from them."""

    latents: Tensor
    """N,c,h,w float32, scaled, clean."""
    noise: Tensor
    """N,c,h,w float32."""
    timesteps: Tensor
    """N int64 in [0, num_train_timesteps)."""
    conditioning: Conditioning
    """Of framing and caption: encoded, or as tokens."""


class Model(Protocol):
    """A loaded base model on one device."""

    device: torch.device
    components: dict[str, nn.Module]
    """The modules that can carry an adapter, by the names of its architecture."""

    @property
    def num_train_timesteps(self) -> int:
        """How many levels of noise training draws from, the first the least noisy.

        A model of continuous time takes level i as the share (i + 0.5) / n of its own distribution.
        """

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """(c, h, w) of the latents of an image of height x width pixels."""

    def encode_images(self, images: Tensor, noise: Tensor) -> Tensor:
        """images N,3,H,W in [-1, 1], noise N,c,h,w → latents N,c,h,w, scaled; a draw from the encoder's posterior."""

    def encode_text(self, captions: Sequence[str]) -> Conditioning:
        """What captions are to the denoiser; the cache keeps fractions as float16, all else as it is."""

    def tokenize(self, captions: Sequence[str]) -> Conditioning:
        """In place of `encode_text`, where a component that reads captions is trained."""

    def encode_framing(self, framings: Sequence[Framing]) -> Conditioning:
        """What sizes and crops are to the denoiser, under other names than text; empty where they are nothing."""

    def prepare_training(self, components: Collection[str], gradient_checkpointing: bool) -> None:
        """Puts the model into training mode, once `components` carry adapters; `gradient_checkpointing`: of these."""

    def finish_training(self) -> None:
        """Undoes `prepare_training`, before the adapters are taken off."""

    def loss(self, batch: Batch) -> Tensor:
        """How far the denoiser is from what it is to predict: N float32, with gradients where they are enabled."""

    def sample(self, request: "GenerationRequest", config: GenerationConfig) -> Tensor:
        """uint8 N,3,H,W in [0, 255]."""

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The modules whose calls make up what an image costs, by the names of the architecture's `operations`."""

    @property
    def weight_bytes(self) -> Mapping[str, int]:
        """Bytes of the weights on the device, by what they are for."""


@dataclass(frozen=True)
class GenerationRequest:
    """One batch of images to draw."""

    prompts: Sequence[str]
    noise: Tensor
    """N,c,h,w float32: the initial latents before any scaling, one draw per image."""
    original_size: tuple[int, int]
    """(height, width) in pixels that the pictures are to look like they come from."""
    negative_prompt: str | None = None
    """None: unconditional as the base model was trained (zeros or the empty prompt, by its own config)."""
    on_step: Callable[[], None] = lambda: None
    """Called after each denoising step of the batch."""
