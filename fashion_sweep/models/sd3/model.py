"""Stable Diffusion 3 and 3.5: a transformer on the streams of image and text, trained by rectified flow.

Source: Esser et al., Scaling rectified flow transformers (2024), https://arxiv.org/abs/2403.03206; the loaded parts are
diffusers' own.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor, nn
from torch.nn import functional

from fashion_sweep.config.preset import GenerationConfig
from fashion_sweep.models.model import Batch, Conditioning, Framing, GenerationRequest
from fashion_sweep.models.pipeline_model import PipelineModel, freeze, place, silence, token_ids, weight_bytes
from fashion_sweep.models.sampling import DenoisingStage, denoise
from fashion_sweep.models.sd3.config import SD3Config
from fashion_sweep.models.sd3.pipelines import open_pipeline, open_t5, t5_bytes

T5_TOKENS = "input_ids_3"


class SD3Model(PipelineModel):
    """A loaded Stable Diffusion 3 on one device. See `models.model.Model` for the methods' contracts."""

    denoiser = "transformer"
    tokens: Mapping[str, str] = {"text_encoder": "input_ids", "text_encoder_2": "input_ids_2"}

    def __init__(self, pipeline: Any, config: SD3Config, device: torch.device) -> None:
        super().__init__(pipeline, device)
        self.config = config

    @classmethod
    def load(cls, config: SD3Config, device: str | torch.device) -> "SD3Model":
        """Loads frozen weights in `config.dtype`, the autoencoder in float32, and T5 once it is to read something."""
        silence()
        pipeline = place(open_pipeline(config), cls.denoiser, config, device)
        return cls(pipeline, config, torch.device(device))

    @property
    def t5(self) -> tuple[Any, Any]:
        """T5 and its tokenizer, loaded when they are first asked for."""
        if self.pipeline.text_encoder_3 is None:
            encoder, tokenizer = open_t5(self.config)
            freeze(encoder, self.device)
            self.pipeline.register_modules(text_encoder_3=encoder, tokenizer_3=tokenizer)
        return self.pipeline.text_encoder_3, self.pipeline.tokenizer_3

    def finish_encoding(self) -> None:
        self.pipeline.register_modules(text_encoder_3=None, tokenizer_3=None)

    def tokenize(self, captions: Sequence[str]) -> Conditioning:
        rows = dict(super().tokenize(captions))
        if self.config.reads_t5:
            rows[T5_TOKENS] = token_ids(self.t5[1], captions, self.config.max_sequence_length)
        return rows

    @torch.inference_mode()
    def encode_text(self, captions: Sequence[str]) -> Conditioning:
        return self._encode({name: ids.to(self.device) for name, ids in self.tokenize(captions).items()})

    def _encode(self, tokens: Conditioning) -> Conditioning:
        """Returns CLIP's penultimate hidden states and projected embeddings side by side, and T5's last states."""
        outputs = [self.components[part](tokens[name], output_hidden_states=True) for part, name in self.tokens.items()]
        encoded = {
            "clip": torch.cat([output.hidden_states[-2] for output in outputs], dim=-1),
            "pooled": torch.cat([output.text_embeds for output in outputs], dim=-1),
        }
        if T5_TOKENS in tokens:
            with torch.no_grad():
                encoded["t5"] = self.t5[0](tokens[T5_TOKENS]).last_hidden_state
        return encoded

    def _repeated(self, prompt: str, count: int) -> Conditioning:
        """Reads one prompt and returns it as often as asked for."""
        encoded = self.encode_text([prompt])
        return {name: tensor.expand(count, *tensor.shape[1:]) for name, tensor in encoded.items()}

    def encode_framing(self, framings: Sequence[Framing]) -> Conditioning:
        return {}

    def loss(self, batch: Batch) -> Tensor:
        """Returns the mean squared error of the predicted velocity from image to noise.

        Levels are drawn from the paper's logit-normal distribution, which is its weighting, and then shifted.
        """
        latents, noise, levels = (t.to(self.device) for t in (batch.latents, batch.noise, batch.timesteps))
        conditioning: Conditioning = {name: tensor.to(self.device) for name, tensor in batch.conditioning.items()}
        if "pooled" not in conditioning:
            conditioning = self._encode(conditioning)
        sigmas = self.sigmas(levels)
        share = sigmas[:, None, None, None]
        predicted = self.predict((1 - share) * latents + share * noise, sigmas * self.num_train_timesteps, conditioning)
        return functional.mse_loss(predicted, noise - latents, reduction="none").mean(dim=(1, 2, 3))

    def min_snr_weights(self, timesteps: Tensor, gamma: float) -> Tensor:
        raise AssertionError("levels count by how often they are drawn")

    def sigmas(self, levels: Tensor) -> Tensor:
        """Returns the share of noise at each of N levels, the first the least noisy: N float32 in (0, 1)."""
        normal = torch.special.ndtri((levels.double() + 0.5) / self.num_train_timesteps)
        share = torch.sigmoid(self.config.logit_mean + self.config.logit_std * normal)
        shift = self.pipeline.scheduler.config.shift
        return (shift * share / (1 + (shift - 1) * share)).float()

    def predict(self, latents: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """Returns the predicted velocity for noisy latents N,c,h,w, of the same shape, float32."""
        dtype, width = self.network.dtype, self.network.config.joint_attention_dim
        clip = conditioning["clip"].to(dtype)
        t5 = conditioning.get("t5", clip.new_zeros(len(clip), self.config.max_sequence_length, width))
        text = torch.cat([functional.pad(clip, (0, width - clip.shape[-1])), t5.to(dtype)], dim=1)
        prediction: Tensor = self.network(
            hidden_states=latents.to(dtype),
            timestep=timesteps.expand(len(latents)),
            encoder_hidden_states=text,
            pooled_projections=conditioning["pooled"].to(dtype),
        ).sample
        return prediction.float()

    @property
    def parts(self) -> Mapping[str, nn.Module]:
        return {"base": self.network, "decoder": self.pipeline.vae.decoder} | {
            name: self.components[name] for name in self.tokens
        }

    @property
    def weight_bytes(self) -> Mapping[str, int]:
        sizes = weight_bytes({"base": self.pipeline})
        to_come = self.config.reads_t5 and self.pipeline.text_encoder_3 is None
        return {"base": sizes["base"] + (t5_bytes(self.config) if to_come else 0)}

    @torch.inference_mode()
    def sample(self, request: GenerationRequest, config: GenerationConfig) -> Tensor:
        """Takes Euler's steps from noise to image, then runs the decoder in float32."""
        count = len(request.prompts)
        scheduler = FlowMatchEulerDiscreteScheduler.from_config(self.pipeline.scheduler.config)
        scheduler.set_timesteps(config.num_inference_steps, device=self.device)
        stage = DenoisingStage(
            predict_by=self.predict,
            guidance_scale=config.guidance_scale,
            conditional=self.encode_text(request.prompts),
            unconditional=self._repeated(request.negative_prompt or "", count),
        )
        noise = request.noise.to(self.device)
        return self.decode(denoise(stage, scheduler, noise, scheduler.timesteps, request.on_step))
