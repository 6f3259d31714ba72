"""Feature extractors for FID and KID, and the CLIP that scores image against caption.

Images come as uint8 N,3,H,W and features leave as float32 N,d: both what torch-fidelity and open_clip define, so
that numbers from the same extractor can be compared with those of other tools.
"""

import logging
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from fashion_sweep.config.model_config import RANDOM
from fashion_sweep.config.preset import EvaluationConfig
from fashion_sweep.models.precision import tf32
from fashion_sweep.models.sources import EMBEDDED, locate
from fashion_sweep.storage.files import write_tensors

# open_clip warns of random weights, by the root logger; they are there only where they are asked for
logging.getLogger().addFilter(lambda record: "No pretrained weights loaded" not in record.getMessage())


class Clip:
    """An open_clip model with its own preprocessing (shorter-edge resize, centre crop) and tokenizer."""

    def __init__(self, name: str, pretrained: str | None, device: torch.device) -> None:
        if name.startswith(EMBEDDED):
            name = f"local-dir:{locate(name, 'evaluation.clip_model')}"
        elif name.startswith(RANDOM):
            name, pretrained = name.removeprefix(RANDOM), None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model, _, self.preprocess = open_clip.create_model_and_transforms(
                name, pretrained=pretrained, device=device, weights_only=True
            )
        self.model, self.tokenizer, self.device = model.eval(), open_clip.get_tokenizer(name), device

    @torch.inference_mode()
    def image_features(self, images: Tensor) -> Tensor:
        """uint8 N,3,H,W → N,d float32, not normalised."""
        pictures = [Image.fromarray(image.permute(1, 2, 0).cpu().numpy()) for image in images]
        pixels = torch.stack([self.preprocess(picture) for picture in pictures]).to(self.device)
        return self.model.encode_image(pixels).float().cpu()

    @torch.inference_mode()
    def text_features(self, captions: Sequence[str]) -> Tensor:
        """N,d float32, not normalised."""
        return self.model.encode_text(self.tokenizer(list(captions)).to(self.device)).float().cpu()

    def scores(self, image_features: Tensor, captions: Sequence[str]) -> Tensor:
        """100 x cosine between each image and its caption: N float32. Source: https://arxiv.org/abs/2104.08718."""
        return 100 * functional.cosine_similarity(image_features, self.text_features(captions))


class Inception:
    """InceptionV3 pool features (2048) as in the original FID, by torch-fidelity."""

    def __init__(self, device: torch.device, random: bool = False) -> None:
        self.device = device
        self.model = _inception(None if random else _published()).to(device)

    @torch.inference_mode()
    def image_features(self, images: Tensor) -> Tensor:
        """uint8 N,3,H,W → N,2048 float32."""
        return self.model(images.to(self.device))[0].float().cpu()


def _published() -> dict[str, Tensor]:
    """InceptionV3's weights, which are published as a pickle: only tensors are taken from it, whoever changed it."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    url: str = URL_INCEPTION_V3  # its name carries the start of the SHA-256
    return torch.hub.load_state_dict_from_url(url, check_hash=True, weights_only=True, map_location="cpu")


def _inception(weights: Mapping[str, Tensor] | None) -> Any:
    """The network with these weights; None leaves them as they are drawn, the same each time."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Bare(FeatureExtractorInceptionV3):
        def load_state_dict(self, *arguments: Any, **options: Any) -> None:
            """Nothing: the constructor insists on unpickling some file, for which an empty one has to do."""

    with tempfile.NamedTemporaryFile() as nothing, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save({}, nothing.name)
        network = Bare("inception-v3", ["2048"], feature_extractor_weights_path=nothing.name)
    if weights is not None:
        FeatureExtractorInceptionV3.load_state_dict(network, weights)
    return network


@dataclass(frozen=True)
class Scores:
    """Of N images: `features` N,d float32 and `clip_scores` N float32."""

    features: Tensor
    clip_scores: Tensor

    def save(self, path: Path, metadata: dict[str, str] | None = None) -> None:
        write_tensors(path, {"features": self.features.numpy(), "clip_scores": self.clip_scores.numpy()}, metadata)

    @classmethod
    def load(cls, paths: Iterable[Path]) -> "Scores":
        """Those of several files, one after the other."""
        parts = [load_file(path) for path in paths]
        return cls(*(torch.cat([part[name] for part in parts]) for name in ("features", "clip_scores")))


class Judge:
    """Features for FID and KID, and CLIP scores, of a batch of images."""

    def __init__(self, config: EvaluationConfig, device: str | torch.device) -> None:
        self.clip = Clip(config.clip_model, config.clip_pretrained, torch.device(device))
        random = config.features == "random-inception-v3"
        self.extractor: Any = self.clip if config.features == "tiny-clip" else Inception(torch.device(device), random)

    def features(self, images: Tensor) -> Tensor:
        """uint8 N,3,H,W → N,d float32. TF32 is off: it moves FID."""
        with tf32(False):
            return self.extractor.image_features(images)

    def scores(self, images: Tensor, captions: Sequence[str]) -> Scores:
        features = self.features(images)
        clip_features = features if self.extractor is self.clip else self.clip.image_features(images)
        return Scores(features, self.clip.scores(clip_features, captions))
