"""What loaded pipelines of diffusers have in common, whatever their denoiser: autoencoder, tokenizers, modes."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from diffusers.utils.logging import disable_progress_bar as disable_diffusers_bar
from torch import Tensor, nn
from transformers.utils.logging import disable_progress_bar as disable_transformers_bar

from fashion_sweep.adapters.learned_tokens import readable
from fashion_sweep.config.model_config import ModelConfig
from fashion_sweep.models.attention import choose_attention
from fashion_sweep.models.emulated import compute_in_float32, is_emulated
from fashion_sweep.models.model import Conditioning

AUTOENCODER_PIXELS = 2**20
"""The most pixels that the autoencoder gets at once, or one image: it has up to 512 float32 channels a pixel."""
GRAPHS = 200
"""How many compiled versions of a block a process keeps: one for each rank, with gradients and without."""


class PipelineModel:
    """A loaded pipeline on one device; `models.model.Model` has the contracts of the methods that are here."""

    denoiser: str
    """The component that removes noise."""
    tokens: Mapping[str, str]
    """The names of the captions' tokens, by the text encoder that reads them and can carry an adapter."""

    def __init__(self, pipeline: Any, device: torch.device) -> None:
        self.pipeline, self.device = pipeline, device
        self.components: dict[str, nn.Module] = {
            name: getattr(pipeline, name) for name in (self.denoiser, *self.tokens)
        }

    @property
    def network(self) -> Any:
        """The denoiser's module."""
        return self.components[self.denoiser]

    @property
    def num_train_timesteps(self) -> int:
        return int(self.pipeline.scheduler.config.num_train_timesteps)

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        factor = self.pipeline.vae_scale_factor
        return self.network.config.in_channels, height // factor, width // factor

    @torch.inference_mode()
    def encode_images(self, images: Tensor, noise: Tensor) -> Tensor:
        vae, at_once = self.pipeline.vae, _at_once(*images.shape[2:])
        latents = []
        for pixels, drawn in zip(images.split(at_once), noise.split(at_once), strict=True):
            posterior = vae.encode(pixels.to(self.device, torch.float32)).latent_dist
            latents.append(posterior.mean + posterior.std * drawn.to(self.device))
        return (torch.cat(latents) - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Decodes scaled latents N,c,h,w → uint8 N,3,H,W, rounded as diffusers rounds."""
        vae, factor = self.pipeline.vae, self.pipeline.vae_scale_factor
        at_once = _at_once(*(factor * side for side in latents.shape[2:]))
        scaled = latents.to(torch.float32) / vae.config.scaling_factor + (vae.config.shift_factor or 0.0)
        images = (vae.decode(part).sample for part in scaled.split(at_once))
        return torch.cat([((image / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8) for image in images])

    def tokenize(self, captions: Sequence[str]) -> Conditioning:
        return {
            name: token_ids(self._tokenizer(part), readable(self.components[part], captions))
            for part, name in self.tokens.items()
        }

    def token_row(self, component: str, text: str) -> list[int]:
        return self.tokenize([text])[self.tokens[component]][0].tolist()

    def _tokenizer(self, component: str) -> Any:
        return getattr(self.pipeline, component.replace("text_encoder", "tokenizer"))

    def finish_encoding(self) -> None:
        return

    def prepare_training(self, components: Collection[str], gradient_checkpointing: bool) -> None:
        self.network.train()
        for name in self.tokens if self.tokens.keys() & set(components) else ():
            self.components[name].train()
        for name in components if gradient_checkpointing else ():
            module: Any = self.components[name]
            if hasattr(module, "enable_gradient_checkpointing"):  # diffusers
                module.enable_gradient_checkpointing()
            else:  # transformers
                module.activation_checkpointing_enable()

    def finish_training(self) -> None:
        for module in self.components.values():
            module.eval()
            part: Any = module
            if hasattr(part, "disable_gradient_checkpointing"):  # diffusers
                part.disable_gradient_checkpointing()
            else:  # transformers
                part.activation_checkpointing_disable()
                part.disable_input_require_grads()  # a hook that checkpointing has added


def silence() -> None:
    """Switches the libraries' own progress bars off."""
    disable_diffusers_bar()
    disable_transformers_bar()


def place(pipeline: Any, denoiser: str, config: ModelConfig, device: str | torch.device) -> Any:
    """Puts a pipeline on a device with frozen weights, its denoiser as `config` has it, and returns it."""
    pipeline.to(device)
    for module in modules_of(pipeline):
        freeze(module, device)
    network = getattr(pipeline, denoiser)
    if choose_attention(config.attention, device) == "xformers":
        network.enable_xformers_memory_efficient_attention()
    if config.channels_last is True:
        network.to(memory_format=torch.channels_last)
        pipeline.vae.to(memory_format=torch.channels_last)
    if config.compile is True:  # at the first call, by when an adapter is attached or fused
        from torch._dynamo import config as dynamo

        dynamo.recompile_limit, dynamo.accumulated_recompile_limit = GRAPHS, 10 * GRAPHS
        network.compile_repeated_blocks()
    return pipeline


def freeze(module: nn.Module, device: torch.device | str) -> None:
    """Puts a network that is never trained itself on a device."""
    module.to(device).requires_grad_(False).eval()
    if is_emulated(device):
        compute_in_float32(module)


def modules_of(pipeline: Any) -> list[nn.Module]:
    """Returns the networks of a pipeline."""
    return [part for part in pipeline.components.values() if isinstance(part, nn.Module)]


def weight_bytes(pipelines: Mapping[str, Any]) -> dict[str, int]:
    """Returns the bytes of the weights of pipelines by name; what they share counts for the first that has it."""
    sizes, seen = {}, set[int]()
    for name, pipeline in pipelines.items():
        modules = modules_of(pipeline)
        weights = [weight for part in modules if id(part) not in seen for weight in part.parameters()]
        sizes[name] = sum(weight.numel() * weight.element_size() for weight in weights)
        seen |= {id(part) for part in modules}
    return sizes


def token_ids(tokenizer: Any, captions: Sequence[str], length: int | None = None) -> Tensor:
    """Tokenizes captions → N,length int64, padded and cut; by default to the tokenizer's own length."""
    return tokenizer(
        list(captions),
        padding="max_length",
        max_length=length or tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids


def _at_once(height: int, width: int) -> int:
    """Returns how many images of that size the autoencoder gets at once."""
    return max(1, AUTOENCODER_PIXELS // (height * width))
