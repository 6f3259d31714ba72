"""Stable Diffusion XL: base, optional refiner, their text encoders and autoencoder.

Source: Podell et al., SDXL (2023), https://arxiv.org/abs/2307.01952; the loaded parts are diffusers' own.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler
from diffusers.training_utils import compute_snr
from diffusers.utils.logging import disable_progress_bar as disable_diffusers_bar
from torch import Tensor, nn
from torch.nn import functional
from transformers.utils.logging import disable_progress_bar as disable_transformers_bar

from fashion_sweep.adapters.learned_tokens import set_apart
from fashion_sweep.config.preset import GenerationConfig
from fashion_sweep.models.attention import choose_attention
from fashion_sweep.models.model import Batch, Conditioning, Framing, GenerationRequest
from fashion_sweep.models.sdxl.config import SDXLConfig
from fashion_sweep.models.sdxl.layers import COMPONENTS
from fashion_sweep.models.sdxl.pipelines import open_base, open_refiner
from fashion_sweep.models.sdxl.sampling import DenoisingStage, denoise, predict

AUTOENCODER_PIXELS = 2**20
"""The most pixels that the autoencoder gets at once, or one image: it has up to 512 float32 channels a pixel."""
GRAPHS = 200
"""How many compiled versions of a block a process keeps: one for each rank, with gradients and without."""
TOKENS = {"text_encoder": "input_ids", "text_encoder_2": "input_ids_2"}
"""The names of the captions' tokens, by the encoder that reads them."""
AESTHETIC_SCORE, NEGATIVE_AESTHETIC_SCORE = 6.0, 2.5  # the refiner's defaults in diffusers


class SDXLModel:
    """A loaded SDXL on one device. See `models.model.Model` for the methods' contracts."""

    def __init__(self, pipeline: Any, refiner: Any | None, device: torch.device, without_refiner: bool = False) -> None:
        self.pipeline, self.refiner, self.device = pipeline, refiner, device
        self.without_refiner = without_refiner  # though it has one: good for training alone
        self.components: dict[str, nn.Module] = {name: getattr(pipeline, name) for name in COMPONENTS}
        self.scheduler: DDIMScheduler = pipeline.scheduler

    @classmethod
    def load(cls, config: SDXLConfig, device: str | torch.device, for_pictures: bool = False) -> "SDXLModel":
        """Loads frozen weights in `config.dtype`; the autoencoder in float32, since bf16 decoding is visible."""
        disable_diffusers_bar()
        disable_transformers_bar()
        pipeline = open_base(config)
        refiner = open_refiner(config, pipeline) if for_pictures and config.refiner else None
        attention = choose_attention(config.attention, device)
        for pipe in filter(None, [pipeline, refiner]):
            pipe.to(device)
            for module in pipe.components.values():
                if isinstance(module, nn.Module):
                    module.requires_grad_(False).eval()
            if attention == "xformers":
                pipe.unet.enable_xformers_memory_efficient_attention()
            if config.channels_last is True:
                pipe.unet.to(memory_format=torch.channels_last)
                pipe.vae.to(memory_format=torch.channels_last)
            if config.compile is True:  # at the first call, by when an adapter is attached or fused
                from torch._dynamo import config as dynamo

                dynamo.recompile_limit, dynamo.accumulated_recompile_limit = GRAPHS, 10 * GRAPHS
                pipe.unet.compile_repeated_blocks()
        return cls(pipeline, refiner, torch.device(device), bool(config.refiner) and refiner is None)

    @property
    def num_train_timesteps(self) -> int:
        return int(self.scheduler.config.num_train_timesteps)

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        factor = self.pipeline.vae_scale_factor
        return self.pipeline.unet.config.in_channels, height // factor, width // factor

    @torch.inference_mode()
    def encode_images(self, images: Tensor, noise: Tensor) -> Tensor:
        vae, at_once = self.pipeline.vae, _at_once(*images.shape[2:])
        latents = []
        for pixels, drawn in zip(images.split(at_once), noise.split(at_once), strict=True):
            posterior = vae.encode(pixels.to(self.device, torch.float32)).latent_dist
            latents.append((posterior.mean + posterior.std * drawn.to(self.device)) * vae.config.scaling_factor)
        return torch.cat(latents)

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Decodes scaled latents N,4,h,w → uint8 N,3,H,W, rounded as diffusers rounds."""
        vae, factor = self.pipeline.vae, self.pipeline.vae_scale_factor
        at_once = _at_once(*(factor * side for side in latents.shape[2:]))
        scaled = latents.to(torch.float32) / vae.config.scaling_factor
        images = (vae.decode(part).sample for part in scaled.split(at_once))
        return torch.cat([((image / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8) for image in images])

    def tokenize(self, captions: Sequence[str]) -> Conditioning:
        tokenizers = (self.pipeline.tokenizer, self.pipeline.tokenizer_2)
        return {
            name: _token_ids(tokenizer, set_apart(self.components[part], captions))
            for (part, name), tokenizer in zip(TOKENS.items(), tokenizers, strict=True)
        }

    def token_row(self, component: str, text: str) -> list[int]:
        return self.tokenize([text])[TOKENS[component]][0].tolist()

    @torch.inference_mode()
    def encode_text(self, captions: Sequence[str]) -> Conditioning:
        return self._encode({name: ids.to(self.device) for name, ids in self.tokenize(captions).items()})

    def _encode(self, tokens: Conditioning) -> Conditioning:
        """Returns penultimate hidden states side by side; the last encoder's projected embedding as the pooled one."""
        outputs = [self.components[part](tokens[name], output_hidden_states=True) for part, name in TOKENS.items()]
        hidden = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        return {"prompt_embeds": hidden, "pooled": outputs[-1].text_embeds}

    def encode_framing(self, framings: Sequence[Framing]) -> Conditioning:
        return {"time_ids": torch.tensor([[*f.original_size, *f.corner, *f.size] for f in framings]).float()}

    def prepare_training(self, components: Collection[str], gradient_checkpointing: bool) -> None:
        self.pipeline.unet.train()
        for name in TOKENS if TOKENS.keys() & set(components) else ():
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

    def loss(self, batch: Batch) -> Tensor:
        """Returns the mean squared error of the predicted noise or velocity."""
        latents, noise, timesteps = (t.to(self.device) for t in (batch.latents, batch.noise, batch.timesteps))
        noisy = self.scheduler.add_noise(latents, noise, timesteps)
        conditioning = {name: tensor.to(self.device) for name, tensor in batch.conditioning.items()}
        if "prompt_embeds" not in conditioning:
            conditioning |= self._encode(conditioning)
        predicted = predict(self.pipeline.unet, noisy, timesteps, conditioning)
        target = self.training_target(latents, noise, timesteps)
        return functional.mse_loss(predicted, target, reduction="none").mean(dim=(1, 2, 3))

    def training_target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """Returns what the UNet is to predict for clean `latents` with `noise` added."""
        if self.scheduler.config.prediction_type == "v_prediction":
            return self.scheduler.get_velocity(latents, noise, timesteps)
        return noise

    def min_snr_weights(self, timesteps: Tensor, gamma: float) -> Tensor:
        ratio = compute_snr(self.scheduler, timesteps.to(self.device))
        weights = ratio.clamp(max=gamma)
        return weights / (ratio + 1 if self.scheduler.config.prediction_type == "v_prediction" else ratio)

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        refiner = {"second": self.refiner.unet} if self.refiner else {}
        text_encoders = {name: self.components[name] for name in TOKENS}
        return {"base": self.pipeline.unet, "decoder": self.pipeline.vae.decoder} | text_encoders | refiner

    @property
    def weight_bytes(self) -> Mapping[str, int]:
        """The bytes of the weights of base and refiner; what they share counts as the base's."""
        sizes, seen = {}, set()
        for name, pipeline in (("base", self.pipeline), ("second", self.refiner)):
            modules = [
                part for part in (pipeline.components.values() if pipeline else ()) if isinstance(part, nn.Module)
            ]
            weights = [p for part in modules if id(part) not in seen for p in part.parameters()]
            sizes[name] = sum(weight.numel() * weight.element_size() for weight in weights)
            seen |= {id(part) for part in modules}
        return sizes

    @torch.inference_mode()
    def sample(self, request: GenerationRequest, config: GenerationConfig) -> Tensor:
        """Runs the base until the hand-over, then the refiner (where there is one), then the decoder in float32."""
        assert not (self.without_refiner and config.refine_fraction), "images are made with the refiner; load it"
        scheduler = DDIMScheduler.from_config(self.scheduler.config)
        scheduler.set_timesteps(config.num_inference_steps, device=self.device)
        refined = round(config.num_inference_steps * config.refine_fraction) if self.refiner else 0
        split = config.num_inference_steps - refined
        latents = request.noise.to(self.device) * scheduler.init_noise_sigma
        size = tuple(side * self.pipeline.vae_scale_factor for side in request.noise.shape[-2:])
        stages = [(self.pipeline, scheduler.timesteps[:split]), (self.refiner, scheduler.timesteps[split:])]
        for pipeline, timesteps in stages:
            if len(timesteps):
                stage = _stage(pipeline, request, size, config.guidance_scale)
                latents = denoise(stage, scheduler, latents, timesteps, request.on_step)
        return self.decode(latents)


def _at_once(height: int, width: int) -> int:
    """Returns how many images of that size the autoencoder gets at once."""
    return max(1, AUTOENCODER_PIXELS // (height * width))


def _token_ids(tokenizer: Any, captions: Sequence[str]) -> Tensor:
    return tokenizer(
        list(captions),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids


def _stage(pipeline: Any, request: GenerationRequest, size: Sequence[int], guidance_scale: float) -> DenoisingStage:
    """Returns embeddings and time ids of a pipeline, unconditional and conditional, for classifier-free guidance."""
    count = len(request.prompts)
    negative = None if request.negative_prompt is None else [request.negative_prompt] * count
    prompt, negative_prompt, pooled, negative_pooled = pipeline.encode_prompt(
        prompt=list(request.prompts),
        device=pipeline.device,
        num_images_per_prompt=1,
        do_classifier_free_guidance=True,
        negative_prompt=negative,
    )
    place = (*request.original_size, 0, 0)
    time_ids: tuple[float, ...]
    negative_time_ids: tuple[float, ...]
    if _ids_of(pipeline) == len(place) + 1:
        time_ids, negative_time_ids = (*place, AESTHETIC_SCORE), (*place, NEGATIVE_AESTHETIC_SCORE)
    else:
        time_ids = negative_time_ids = (*place, *size)
    framed, negative_framed = (_repeat(ids, count, pipeline.device) for ids in (time_ids, negative_time_ids))
    return DenoisingStage(
        unet=pipeline.unet,
        guidance_scale=guidance_scale,
        conditional={"prompt_embeds": prompt, "pooled": pooled, "time_ids": framed},
        unconditional={
            "prompt_embeds": negative_prompt,
            "pooled": negative_pooled,
            "time_ids": negative_framed,
        },
    )


def _ids_of(pipeline: Any) -> int:
    """Counts the time ids of a pipeline's UNet: a refiner has an aesthetic score in place of the target size."""
    config = pipeline.unet.config
    width = config.projection_class_embeddings_input_dim - pipeline.text_encoder_2.config.projection_dim
    return int(width // config.addition_time_embed_dim)


def _repeat(time_ids: Sequence[float], count: int, device: torch.device) -> Tensor:
    """Repeats time ids as count,k float32: in bf16 an original height of 1101 would become 1104."""
    return torch.tensor([time_ids], dtype=torch.float32, device=device).repeat(count, 1)
