"""The model itself: two small transformers, and the flow between noise and picture."""

from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from fashion_sweep.config.preset import GenerationConfig
from fashion_sweep.models.architecture import Layers
from fashion_sweep.models.model import Batch, Conditioning, Framing, GenerationRequest
from flow_dit.architecture import CHANNELS, DEPTH, DOWNSAMPLING, PATCH, TEXT_LENGTH, WIDTH, FlowDiTConfig

HEADS = 4
LEVELS = 1000
"""Of noise."""


class Block(nn.Module):
    """Attention among the samples' own tokens and whatever they read besides, then a feed-forward layer."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.feed_forward = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: Tensor, read: Tensor, mask: Tensor) -> Tensor:  # N,l,d; N,m,d; N,m bool → N,l,d
        q, k, v = (
            t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in (self.to_q(x), self.to_k(read), self.to_v(read))
        )
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        x = x + self.to_out(attended.transpose(1, 2).flatten(2))
        return x + self.feed_forward(functional.layer_norm(x, (WIDTH,)))


class Reader(nn.Module):
    """Bytes of a caption → what the transformer reads."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(256, WIDTH)
        self.place = nn.Parameter(torch.randn(TEXT_LENGTH, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:  # N,m uint8; N,m bool → N,m,d
        x = self.embedding(tokens.long()) + self.place
        for block in self.blocks:
            x = block(x, x, mask)
        return x


class Transformer(nn.Module):
    """Noisy latents, time and text → velocity."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(CHANNELS * PATCH**2, WIDTH)
        self.time = nn.Linear(2, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.leave = nn.Linear(WIDTH, CHANNELS * PATCH**2)

    def forward(self, latents: Tensor, time: Tensor, text: Tensor, mask: Tensor) -> Tensor:  # N,c,h,w; N in (0, 1)
        height, width = (side // PATCH for side in latents.shape[2:])
        patches = functional.pixel_unshuffle(latents, PATCH).flatten(2).transpose(1, 2)
        x = self.enter(patches) + self.time(torch.stack([torch.sin(6 * time), torch.cos(6 * time)], dim=-1))[:, None]
        mask = torch.cat([torch.ones(x.shape[:2], dtype=torch.bool, device=x.device), mask], dim=1)
        for block in self.blocks:
            x = block(x, torch.cat([x, text], dim=1), mask)
        return functional.pixel_shuffle(self.leave(x).transpose(1, 2).unflatten(2, (height, width)), PATCH)


def count_layers(component: str) -> Layers:
    """Of a component, on no device."""
    with torch.device("meta"):
        module = {"transformer": Transformer, "reader": Reader}[component]()
    linear = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    shapes = {name: tuple(layer.weight.shape) for name, layer in linear.items()}
    return Layers(shapes, sum(weights.numel() for weights in module.parameters()))


class FlowDiT:
    """See `models.model.Model` for the members' contracts."""

    num_train_timesteps = LEVELS

    def __init__(self, config: FlowDiTConfig, device: str) -> None:
        self.device, self.shift = torch.device(device), config.shift
        with torch.random.fork_rng():
            torch.manual_seed(int(config.base.partition(":")[2]))
            self.components: dict[str, nn.Module] = {"transformer": Transformer(), "reader": Reader()}
        for module in self.components.values():
            module.to(self.device).requires_grad_(False).eval()

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        return CHANNELS, height // DOWNSAMPLING, width // DOWNSAMPLING

    def encode_images(self, images: Tensor, noise: Tensor) -> Tensor:
        return functional.avg_pool2d(images.to(self.device, torch.float32), DOWNSAMPLING)

    def tokenize(self, captions: Sequence[str]) -> Conditioning:
        texts = [caption.encode()[:TEXT_LENGTH] or b" " for caption in captions]
        tokens = torch.tensor([[*text.ljust(TEXT_LENGTH, b"\0")] for text in texts], dtype=torch.uint8)
        return {"tokens": tokens, "mask": tokens > 0}

    @torch.inference_mode()
    def encode_text(self, captions: Sequence[str]) -> Conditioning:
        return self._encode({name: tensor.to(self.device) for name, tensor in self.tokenize(captions).items()})

    def _encode(self, tokens: Conditioning) -> Conditioning:
        return {"text": self.components["reader"](tokens["tokens"], tokens["mask"]), "mask": tokens["mask"]}

    def encode_framing(self, framings: Sequence[Framing]) -> Conditioning:
        return {}

    def finish_encoding(self) -> None:
        return

    def prepare_training(self, components: Collection[str], gradient_checkpointing: bool) -> None:
        for name in components:
            self.components[name].train()

    def finish_training(self) -> None:
        for module in self.components.values():
            module.eval()

    def loss(self, batch: Batch) -> Tensor:
        """Mean squared error of the velocity from picture to noise."""
        latents, noise, levels = (t.to(self.device) for t in (batch.latents, batch.noise, batch.timesteps))
        conditioning: Conditioning = {name: tensor.to(self.device) for name, tensor in batch.conditioning.items()}
        if "text" not in conditioning:
            conditioning = self._encode(conditioning)
        time = self._shifted((levels + 0.5) / LEVELS)
        share = time[:, None, None, None]
        velocity = self._velocity((1 - share) * latents + share * noise, time, conditioning)
        return functional.mse_loss(velocity, noise - latents, reduction="none").mean(dim=(1, 2, 3))

    def _velocity(self, latents: Tensor, time: Tensor, conditioning: Conditioning) -> Tensor:
        text = conditioning["text"].to(latents.dtype)
        return self.components["transformer"](latents, time, text, conditioning["mask"]).float()

    def _shifted(self, time: Tensor) -> Tensor:
        return self.shift * time / (1 + (self.shift - 1) * time)

    @torch.inference_mode()
    def sample(self, request: GenerationRequest, config: GenerationConfig) -> Tensor:
        """Euler's method from noise to picture, with classifier-free guidance."""
        wanted = self.encode_text(request.prompts)
        unwanted = self.encode_text([request.negative_prompt or ""] * len(request.prompts))
        latents = request.noise.to(self.device)
        times = self._shifted(torch.linspace(1, 0, config.num_inference_steps + 1, device=self.device))
        for now, then in pairwise(times):
            time = now.repeat(len(latents))
            toward, away = (self._velocity(latents, time, text) for text in (wanted, unwanted))
            latents = latents + (then - now) * (away + config.guidance_scale * (toward - away))
            request.on_step()
        images = functional.interpolate(latents.clamp(-1, 1), scale_factor=DOWNSAMPLING, mode="bilinear")
        return ((images + 1) * 127.5).round().to(torch.uint8)

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        return {"base": self.components["transformer"], "reader": self.components["reader"]}

    @property
    def weight_bytes(self) -> Mapping[str, int]:
        return {
            "base": sum(
                w.numel() * w.element_size() for module in self.components.values() for w in module.parameters()
            )
        }
