"""What training and judging need of a family of base models. A new family is one new module with these methods."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fashion_sweep.config.preset import GenerationConfig
from fashion_sweep.config.trial_spec import TrialSpec


@dataclass(frozen=True)
class TextEmbeds:
    """Encoded captions: `prompt_embeds` N,tokens,d and `pooled` N,p."""

    prompt_embeds: Tensor
    pooled: Tensor


class Family(Protocol):
    """A loaded base model on one device."""

    device: torch.device
    components: dict[str, nn.Module]
    """The modules that can carry an adapter, by the names of `space.COMPONENTS`."""

    def encode_images(self, images: Tensor, noise: Tensor) -> Tensor:
        """images N,3,H,W in [-1, 1], noise N,c,h,w → latents N,c,h,w, scaled; a draw from the encoder's posterior."""

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """(c, h, w) of the latents of an image of height x width pixels."""

    def encode_captions(self, captions: Sequence[str]) -> TextEmbeds: ...

    def tokenize(self, captions: Sequence[str]) -> Tensor:
        """int64 (encoders, N, tokens), for training that adapts a text encoder."""

    def denoiser(self, spec: TrialSpec) -> nn.Module:
        """(noisy latents, timesteps, conditions) → prediction; holds every module that `spec` trains."""

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor: ...

    def training_target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the denoiser is to predict for clean `latents` with `noise` added."""

    @property
    def num_train_timesteps(self) -> int: ...

    def generate(self, request: "GenerationRequest", config: GenerationConfig) -> Tensor:
        """uint8 N,3,H,W in [0, 255]."""

    def load_adapter(self, path: Any, scale: float = 1.0) -> None:
        """Fuses the adapter file into the weights."""

    def adapted(self, path: Any, scale: float = 1.0) -> AbstractContextManager[None]:
        """The adapter fused while the block runs; after it the weights are what they were, bit for bit."""


@dataclass(frozen=True)
class GenerationRequest:
    """One batch of images to generate."""

    prompts: Sequence[str]
    noise: Tensor
    """N,c,h,w float32: the initial latents before scaling by the scheduler, one draw per image."""
    original_size: tuple[int, int]
    """(height, width) in pixels for the size conditioning."""
    negative_prompt: str | None = None
    """None: unconditional as the base model was trained (zeros or the empty prompt, by its own config)."""
    on_step: Callable[[], None] = lambda: None
    """Called after each denoising step of the batch."""


@dataclass(frozen=True)
class Conditions:
    """What a denoiser is conditioned on besides the timestep: size conditioning, and text as embeddings or tokens."""

    time_ids: Tensor
    """N,6 float32: original height and width, crop top and left, target height and width, in pixels."""
    text: TextEmbeds | None = None
    input_ids: Tensor | None = None
    """int64 (encoders, N, tokens), where a text encoder is trained."""
