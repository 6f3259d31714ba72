"""Draws a batch of images with a loaded model, in parts where memory does not suffice for all of it at once."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from fashion_sweep.adapters.words import begun_with
from fashion_sweep.config.data_source import Size
from fashion_sweep.config.preset import GenerationConfig
from fashion_sweep.errors import TrialError
from fashion_sweep.models.memory import as_much_as_fits, is_out_of_memory
from fashion_sweep.models.model import GenerationRequest, Model
from fashion_sweep.rng import standard_normal

logger = logging.getLogger(__name__)


@dataclass
class Generator:
    """A loaded model with all settings that stay the same over the images of one evaluation set."""

    model: Model
    config: GenerationConfig
    size: Size
    original_size: tuple[int, int]
    """The (height, width) of the originals that pictures are to look as if cut from, as in training."""
    negative_prompt: str | None
    prefix: str = ""
    """The words that every prompt begins with which has them nowhere, where the adapter learnt words of its own."""
    on_step: Callable[[], None] = lambda: None
    """The function that is called after each denoising step."""
    at_once: int | None = None
    """The images that go through the model together; None: as many as a batch has, until memory does not suffice."""

    def images(self, prompts: Sequence[str], draws: Sequence[tuple[int, int]], batch_size: int) -> Tensor:
        """Draws images uint8 N,3,H,W; image i's noise is that of `draws[i]` = (seed, index), whatever batch it is in.

        N is at most `batch_size`, to which a shorter batch is padded.

        Raises:
            TrialError: memory does not suffice for one image.
        """
        shape = self.model.latent_shape(self.size.height, self.size.width)
        missing = batch_size - len(prompts)
        begun = [begun_with(self.prefix, one) for one in prompts]
        padded_prompts = [*begun, *[begun[-1]] * missing]
        padded_draws = [*draws, *[draws[-1]] * missing]
        noise = [standard_normal(seed, "generate", index, shape=shape) for seed, index in padded_draws]
        request = GenerationRequest(
            prompts=padded_prompts,
            noise=torch.stack(noise),
            original_size=self.original_size,
            negative_prompt=self.negative_prompt,
            on_step=self.on_step,
        )
        return self._as_much_as_fits(request)[: len(prompts)]

    def _as_much_as_fits(self, request: GenerationRequest) -> Tensor:
        count = len(request.prompts)
        made: list[Tensor] = []

        def make(size: int) -> None:
            made.clear()
            for start in range(0, count, size):
                prompts, noise = request.prompts[start : start + size], request.noise[start : start + size]
                made.append(self.model.sample(replace(request, prompts=prompts, noise=noise), self.config))

        size = min(self.at_once or count, count)
        try:
            fitting = as_much_as_fits(make, size, _say_fewer)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise TrialError(
                f"out of memory with one image of {self.size.height}x{self.size.width}; set model.dtype=bfloat16 where "
                "it is float32, a smaller evaluation size of the data set, or use a larger device"
            ) from error
        if fitting < size:
            self.at_once = fitting
        return torch.cat(made)


def _say_fewer(size: int) -> None:
    logger.warning(
        "out of memory; now with %d images at a time, which differ from those of a whole batch by rounding "
        "(generation.batch_size=%d saves the attempt, for all trials alike)",
        *(size, size),
    )
