"""A garment's trial as `garment train` does it, watched."""

from collections.abc import Sequence
from typing import Any

from fashion_sweep.generation.generator import Generator
from fashion_sweep.metrics.extractors import Clip
from fashion_sweep.rehearsal.meter import Work
from fashion_sweep.rehearsal.watched import RehearsedTrial, bytes_of
from fashion_sweep.tasks.garment.recipe import Drawing
from fashion_sweep.tasks.garment.trial import GarmentTrial


class RehearsedGarment(RehearsedTrial, GarmentTrial):
    def load_clip(self) -> Clip:
        clip = super().load_clip()
        self.timings.weights["judge"] = bytes_of(clip.model)
        return clip

    def _draw(self, generator: Generator, drawings: Sequence[Drawing]) -> None:
        self.timings.judging = self.config.drawn_as
        super()._draw(generator, drawings)
        self.timings.judging = None

    def _closeness(self, clip: Clip, drawings: Sequence[Drawing]) -> dict[str, Any]:
        """Of the pictures and of each garment's photo."""
        with self.meter.stage(Work.CLOSENESS, len(drawings) + len(self.config.sweep.garments)):
            return super()._closeness(clip, drawings)
