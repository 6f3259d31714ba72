"""Caches pictures of each kind of garment for prior preservation. Imports no torch."""

from typing import Any

from fashion_sweep.config.data_source import Size
from fashion_sweep.config.garment_config import PriorConfig
from fashion_sweep.data.catalogue import Catalogue
from fashion_sweep.encodings.cache_part import CachePart
from fashion_sweep.models.architecture import Fingerprints, Operations
from fashion_sweep.planning.gpu import Gpu


class Prior(CachePart):
    """Caches pictures that the base model draws of each kind of garment, encoded as if they were photos. It holds
    `latents` c,h,w float16, and the conditioning of framing and caption."""

    KIND, TITLE, MADE_BY, FOR_TRAINING = "prior", "pictures of each kind", "pipelines", True
    ENCODER = "fashion_sweep.tasks.garment.prior_pictures:draw_and_encode"

    @property
    def kinds(self) -> list[str]:
        return sorted({garment.kind for garment in self.config.sweep.garments})

    @property
    def prior(self) -> PriorConfig:
        assert self.config.preset.garment is not None
        assert self.config.preset.garment.prior is not None
        return self.config.preset.garment.prior

    def caption(self, kind: str) -> str:
        return self.prior.caption.replace("{kind}", kind)

    def rows_of(self, kind: str) -> range:
        first = self.kinds.index(kind) * self.prior.images
        return range(first, first + self.prior.images)

    def rows(self, images: int, captions: int) -> int:
        return len(self.kinds) * self.prior.images

    def key(self, catalogue: Catalogue, model: Fingerprints) -> dict[str, Any]:
        drawn = {"generation": self.config.preset.generation.model_dump(mode="json"), **model.drawing}
        captions = [self.caption(kind) for kind in self.kinds]
        wanted = {"captions": captions, "each": self.prior.images, "size": self.size}
        return dict(model.autoencoder) | dict(model.text) | drawn | wanted

    @property
    def row_bytes(self) -> int:
        return self._view_bytes + self._caption_bytes

    def seconds(self, work: Operations, gpu: Gpu) -> float:
        generation = self.config.preset.generation
        passes = generation.num_inference_steps * (2 if generation.guidance_scale > 1 else 1)
        return (passes * work.base + work.text) / gpu.bfloat16 + (work.decode + work.encode) / gpu.tf32

    @property
    def size(self) -> Size:
        return self.config.preset.training.image
