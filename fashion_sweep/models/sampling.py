"""Denoising with classifier-free guidance, for any denoiser and scheduler of diffusers.

As diffusers' pipelines do it (tests hold the two equal in float32), except that latents and whatever else is a number
rather than a feature stay float32 when the weights are bf16: rounding the latents at each of 50 steps adds an error of
1.6 %.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fashion_sweep.models.model import Conditioning


@dataclass(frozen=True)
class DenoisingStage:
    """One denoiser, its conditionings and its guidance scale."""

    predict_by: Callable[[Tensor, Tensor, Conditioning], Tensor]
    """Predicts noise or velocity N,c,h,w float32 from noisy latents N,c,h,w, a timestep, and N conditionings."""
    guidance_scale: float
    conditional: Conditioning
    unconditional: Conditioning

    def predict(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """Returns the guided prediction N,c,h,w float32."""
        if self.guidance_scale <= 1:
            return self.predict_by(latents, timestep, self.conditional)
        both = {name: torch.cat([self.unconditional[name], self.conditional[name]]) for name in self.conditional}
        unconditional, conditional = self.predict_by(torch.cat([latents, latents]), timestep, both).chunk(2)
        return unconditional + self.guidance_scale * (conditional - unconditional)


def denoise(
    stage: DenoisingStage, scheduler: Any, latents: Tensor, timesteps: Tensor, on_step: Callable[[], None]
) -> Tensor:
    """Takes latents N,c,h,w float32 through `timesteps` of a scheduler that has its timesteps set."""
    for timestep in timesteps:
        latents = scheduler.step(stage.predict(latents, timestep), timestep, latents).prev_sample
        on_step()
    return latents
