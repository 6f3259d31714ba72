"""The recipe of garments in a preset."""

import re
from typing import Any

from pydantic import Field, PositiveFloat, PositiveInt

from fashion_sweep.config.data_source import Size
from fashion_sweep.config.frozen import Frozen
from fashion_sweep.config.sweep import Garment
from fashion_sweep.config.training import TrainingConfig


class PriorConfig(Frozen):
    """Prior preservation (Ruiz et al. 2023): training on pictures by the base model, beside the photo.

    The base model draws pictures of such a garment, so that the adapter leaves the kind as it is. A step's batch holds
    as many of them as of the photo.
    """

    images: PositiveInt = 100
    """The number of pictures of each kind."""
    weight: PositiveFloat = 1.0
    """The weight of the pictures' loss beside the photo's."""
    caption: str = Field("Photo of a {kind}", min_length=1)


class GarmentConfig(Frozen):
    """The recipe of garments: how an adapter is trained on one photo, and what is drawn with it."""

    training: TrainingConfig
    adapters: dict[str, Any] | None = None
    """The adapters of each garment by placement, as trials of sweep files have them; null: rank 1 of the component that
    is adapted first, as the study settled on. Prompt tokens stand for `token`, where they do not say what for."""
    size: Size
    """The size of the pictures that are drawn."""
    seeds: PositiveInt = 4
    """The number of seeds that each prompt is drawn with."""
    token: str = Field("sks", min_length=1)
    """The word that stands for the garment, `[v]` in prompts."""
    attribute_token: str = Field("ukj", min_length=1)
    """The word that stands for the garment's pattern or colour, `[u]` in prompts."""
    caption: str = Field("Photo of a [v] {kind} with [u] {attribute}", min_length=1)
    """The caption of the photo, in training."""
    prior: PriorConfig | None = None
    """The prior preservation; null: the photo alone is trained on, as in the study."""
    prefix: str = "A high-quality image of a professional photoshoot featuring"
    """The text before each prompt."""
    prompts: tuple[str, ...] = Field(min_length=1)
    """The prompts, with `{kind}` and `{attribute}` for the garment's own."""

    def filled(self, template: str, garment: Garment) -> str:
        """Fills the words of a garment into a template.

        Raises:
            ValueError: it has braces around something else.
        """
        words = {"[v]": self.token, "[u]": self.attribute_token}
        words |= {"{kind}": garment.kind, "{attribute}": garment.attribute}
        for mark, word in words.items():
            template = template.replace(mark, word)
        if unknown := re.search(r"\{[^}]*\}", template):
            raise ValueError(f"{unknown[0]} is unknown; known: {', '.join(words)}")
        return template
