"""Stable Diffusion XL: base, optional refiner, their text encoders and autoencoder.

Source: Podell et al., SDXL (2023), https://arxiv.org/abs/2307.01952; the loaded parts are diffusers' own.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from diffusers import DDIMScheduler
from diffusers.training_utils import compute_snr
from torch import Tensor, nn
from torch.nn import functional

from fashion_sweep.adapters.learned_tokens import readable
from fashion_sweep.config.preset import GenerationConfig
from fashion_sweep.models.model import Batch, Conditioning, Framing, GenerationRequest
from fashion_sweep.models.pipeline_model import PipelineModel, place, silence, weight_bytes
from fashion_sweep.models.sampling import DenoisingStage, denoise
from fashion_sweep.models.sdxl.config import SDXLConfig
from fashion_sweep.models.sdxl.pipelines import open_base, open_refiner

AESTHETIC_SCORE, NEGATIVE_AESTHETIC_SCORE = 6.0, 2.5  # the refiner's defaults in diffusers


class SDXLModel(PipelineModel):
    """A loaded SDXL on one device. See `models.model.Model` for the methods' contracts."""

    denoiser = "unet"
    tokens: Mapping[str, str] = {"text_encoder": "input_ids", "text_encoder_2": "input_ids_2"}

    def __init__(self, pipeline: Any, refiner: Any | None, device: torch.device, without_refiner: bool = False) -> None:
        super().__init__(pipeline, device)
        self.refiner = refiner
        self.without_refiner = without_refiner  # though it has one: good for training alone
        self.scheduler: DDIMScheduler = pipeline.scheduler

    @classmethod
    def load(cls, config: SDXLConfig, device: str | torch.device, for_pictures: bool = False) -> "SDXLModel":
        """Loads frozen weights in `config.dtype`; the autoencoder in float32, since bf16 decoding is visible."""
        silence()
        pipeline = open_base(config)
        refiner = open_refiner(config, pipeline) if for_pictures and config.refiner else None
        for pipe in filter(None, [pipeline, refiner]):
            place(pipe, cls.denoiser, config, device)
        return cls(pipeline, refiner, torch.device(device), bool(config.refiner) and refiner is None)

    @torch.inference_mode()
    def encode_text(self, captions: Sequence[str]) -> Conditioning:
        return self._encode({name: ids.to(self.device) for name, ids in self.tokenize(captions).items()})

    def _encode(self, tokens: Conditioning) -> Conditioning:
        """Returns penultimate hidden states side by side; the last encoder's projected embedding as the pooled one."""
        outputs = [self.components[part](tokens[name], output_hidden_states=True) for part, name in self.tokens.items()]
        hidden = torch.cat([output.hidden_states[-2] for output in outputs], dim=-1)
        return {"prompt_embeds": hidden, "pooled": outputs[-1].text_embeds}

    def encode_framing(self, framings: Sequence[Framing]) -> Conditioning:
        return {"time_ids": torch.tensor([[*f.original_size, *f.corner, *f.size] for f in framings]).float()}

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
        text_encoders = {name: self.components[name] for name in self.tokens}
        return {"base": self.pipeline.unet, "decoder": self.pipeline.vae.decoder} | text_encoders | refiner

    @property
    def weight_bytes(self) -> Mapping[str, int]:
        return weight_bytes({"base": self.pipeline} | ({"second": self.refiner} if self.refiner else {}))

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


def predict(unet: Any, latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
    """Returns the UNet's prediction for noisy latents N,c,h,w, of the same shape, float32."""
    dtype = unet.dtype
    prediction: Tensor = unet(
        latents.to(dtype),
        timesteps,
        encoder_hidden_states=conditioning["prompt_embeds"].to(dtype),
        added_cond_kwargs={"text_embeds": conditioning["pooled"].to(dtype), "time_ids": conditioning["time_ids"]},
    ).sample
    return prediction.float()


def _stage(pipeline: Any, request: GenerationRequest, size: Sequence[int], guidance_scale: float) -> DenoisingStage:
    """Returns embeddings and time ids of a pipeline, unconditional and conditional, for classifier-free guidance."""
    count = len(request.prompts)
    negative = None if request.negative_prompt is None else [request.negative_prompt] * count
    first = pipeline.text_encoder or pipeline.text_encoder_2  # a refiner has the second alone
    prompt, negative_prompt, pooled, negative_pooled = pipeline.encode_prompt(
        prompt=readable(first, request.prompts),
        prompt_2=readable(pipeline.text_encoder_2, request.prompts),
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
        predict_by=partial(predict, pipeline.unet),
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
