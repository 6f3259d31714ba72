"""The interface of a loaded base model for training, drawing and judging, whatever its architecture."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, nn

from fashion_sweep.config.preset import GenerationConfig

Conditioning: TypeAlias = Mapping[str, Tensor]
"""The tensors that a model is conditioned on, one row per sample; only that model knows what they mean."""


@dataclass(frozen=True)
class Framing:
    """The crop by which a picture of the model's size was cut from an original, in pixels."""

    original_size: tuple[int, int]
    """The (height, width) of the original."""
    corner: tuple[int, int]
    """The (top, left) corner of the crop."""
    size: tuple[int, int]
    """The (height, width) of the crop."""


@dataclass(frozen=True)
class Batch:
    """N clean samples, and the noise that is to be told apart from them."""

    latents: Tensor
    """The clean, scaled latents: N,c,h,w float32."""
    noise: Tensor
    """The noise: N,c,h,w float32."""
    timesteps: Tensor
    """The timesteps: N int64 in [0, num_train_timesteps)."""
    conditioning: Conditioning
    """The conditioning of framing and caption: encoded, or as tokens."""


class Model(Protocol):
    """A loaded base model on one device."""

    device: torch.device
    components: dict[str, nn.Module]
    """The modules that can carry an adapter, by the names of its architecture."""

    @property
    def num_train_timesteps(self) -> int:
        """The number of noise levels that training draws from, the first the least noisy.

        A model of continuous time takes level i as the share (i + 0.5) / n of its own distribution.
        """

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Returns the shape (c, h, w) of the latents of an image of height x width pixels."""

    def encode_images(self, images: Tensor, noise: Tensor) -> Tensor:
        """Draws from the encoder's posterior: images N,3,H,W in [-1, 1], noise N,c,h,w → latents N,c,h,w, scaled."""

    def encode_text(self, captions: Sequence[str]) -> Conditioning:
        """Encodes captions for the denoiser; the cache keeps fractions as float16, all else as it is."""

    def tokenize(self, captions: Sequence[str]) -> Conditioning:
        """Tokenizes captions, in place of `encode_text`, where a component that reads them is trained."""

    def token_row(self, component: str, text: str) -> list[int]:
        """Returns the padded row of token numbers that a text encoder reads for a text, which learned words need."""

    def encode_framing(self, framings: Sequence[Framing]) -> Conditioning:
        """Encodes sizes and crops for the denoiser, under other names than text; empty where it does not take them."""

    def finish_encoding(self) -> None:
        """Lets go of what encodes captions alone, where that takes much memory; it comes back when it is asked for."""

    def prepare_training(self, components: Collection[str], gradient_checkpointing: bool) -> None:
        """Puts the model into training mode, once `components` carry adapters; `gradient_checkpointing`: of these."""

    def finish_training(self) -> None:
        """Undoes `prepare_training`, before the adapters are taken off."""

    def loss(self, batch: Batch) -> Tensor:
        """Returns each sample's loss of the denoiser: N float32, with gradients where they are enabled."""

    def min_snr_weights(self, timesteps: Tensor, gamma: float) -> Tensor:
        """Returns the weights of `loss` that count no timestep for more than a signal-to-noise ratio of `gamma`: N.

        For architectures that have one (`has_snr`). Source: Hang et al. (2023), https://arxiv.org/abs/2303.09556.
        """

    def sample(self, request: "GenerationRequest", config: GenerationConfig) -> Tensor:
        """Draws the requested images: uint8 N,3,H,W in [0, 255]."""

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        """The modules whose calls make up the cost of an image, by the names of the architecture's `operations`."""

    @property
    def weight_bytes(self) -> Mapping[str, int]:
        """The bytes of the weights on the device, by what they are for."""


@dataclass(frozen=True)
class GenerationRequest:
    """One batch of images to draw."""

    prompts: Sequence[str]
    noise: Tensor
    """The initial latents before any scaling, one draw per image: N,c,h,w float32."""
    original_size: tuple[int, int]
    """The (height, width) in pixels of the originals that the pictures are to look as if cut from."""
    negative_prompt: str | None = None
    """The negative prompt; None: zeros or the empty prompt, by the model's config."""
    on_step: Callable[[], None] = lambda: None
    """The function that is called after each denoising step of the batch."""
