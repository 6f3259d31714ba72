"""What families of diffusers' pipelines have in common before their weights are loaded. Imports no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from fashion_sweep.models import caption_lengths
from fashion_sweep.models.architecture import Architecture, Placement, TokenLengths
from fashion_sweep.models.pipeline_sources import PipelineSources
from fashion_sweep.models.sources import fingerprint

TEXT_ENCODERS = ("text_encoder", "text_encoder_2")
TEXT_PROJECTIONS = dict.fromkeys(TEXT_ENCODERS, ("q_proj", "k_proj", "v_proj", "out_proj"))
"""Query, key, value and output of every attention module of CLIP's encoders."""
TEXT_PLACEMENTS = {
    "text_encoder": Placement("text encoder 1", TEXT_ENCODERS[:1]),
    "text_encoder_2": Placement("text encoder 2", TEXT_ENCODERS[1:]),
    "text_encoders": Placement("text encoders", TEXT_ENCODERS),
}


class PipelineArchitecture(Architecture):
    """A family whose captions two of CLIP's encoders read; `Architecture` has the members' contracts."""

    sources: PipelineSources
    """Where its weights and configs come from."""
    text_components = TEXT_ENCODERS
    formats = ("diffusers", "peft", "kohya")

    projections: Mapping[str, tuple[str, ...]]
    """The layers adapted where a preset names none, by component: query, key, value and output of all attention."""

    def target_modules(self, component: str) -> tuple[str, ...]:
        return self.projections[component]

    def locate(self, base: str) -> str:
        return self.sources.locate(base, "model.base")

    def tokenizer_fingerprints(self, base: str) -> Sequence[str]:
        return [fingerprint(str(folder)) for folder in caption_lengths.find_tokenizers(self.locate(base))]

    def tokenizers(self, base: str) -> Mapping[str, Any]:
        return caption_lengths.open_tokenizers(caption_lengths.find_tokenizers(self.locate(base)))

    def caption_lengths(self, base: str, counts: Mapping[str, int]) -> list[TokenLengths]:
        return caption_lengths.caption_lengths(caption_lengths.find_tokenizers(self.locate(base)), counts)
