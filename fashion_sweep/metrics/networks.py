"""The networks of the feature extractors: InceptionV3, and CLIP, which also knows captions.

Images come as uint8 N,3,H,W and features leave as float32 N,d: both what torch-fidelity and open_clip define, so
that numbers from the same extractor can be compared with those of other tools.
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import open_clip
import torch
from PIL import Image
from torch import Tensor

from fashion_sweep.config.model_config import RANDOM
from fashion_sweep.models.sources import EMBEDDED, locate

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
        """Computes the images' features, not normalised: uint8 N,3,H,W → N,d float32."""
        pictures = [Image.fromarray(image.permute(1, 2, 0).cpu().numpy()) for image in images]
        pixels = torch.stack([self.preprocess(picture) for picture in pictures]).to(self.device)
        return self.model.encode_image(pixels).float().cpu()

    @torch.inference_mode()
    def text_features(self, captions: Sequence[str]) -> Tensor:
        """Computes the captions' features N,d float32, not normalised."""
        return self.model.encode_text(self.tokenizer(list(captions)).to(self.device)).float().cpu()


class Inception:
    """InceptionV3 pool features (2048) as in the original FID, by torch-fidelity."""

    def __init__(self, device: torch.device, random: bool = False) -> None:
        self.device = device
        self.model = _inception(None if random else _published()).to(device)

    @torch.inference_mode()
    def image_features(self, images: Tensor) -> Tensor:
        """Computes the images' features: uint8 N,3,H,W → N,2048 float32."""
        return self.model(images.to(self.device))[0].float().cpu()


def _published() -> dict[str, Tensor]:
    """Loads InceptionV3's weights, published as a pickle: only tensors are taken from it, whoever changed it."""
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    url: str = URL_INCEPTION_V3  # its name carries the start of the SHA-256
    return torch.hub.load_state_dict_from_url(url, check_hash=True, weights_only=True, map_location="cpu")


def _inception(weights: Mapping[str, Tensor] | None) -> Any:
    """Builds the network with these weights; None leaves them as they are drawn, the same each time."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Bare(FeatureExtractorInceptionV3):
        def load_state_dict(self, *arguments: Any, **options: Any) -> None:
            """Does nothing: the constructor insists on unpickling some file, and gets an empty one."""

    with tempfile.NamedTemporaryFile() as nothing, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save({}, nothing.name)
        network = Bare("inception-v3", ["2048"], feature_extractor_weights_path=nothing.name)
    if weights is not None:
        FeatureExtractorInceptionV3.load_state_dict(network, weights)
    return network
