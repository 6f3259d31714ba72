"""Defines the judge: a tiny CLIP in open_clip's format, for CLIP scores and for the features of FID and KID."""

import json
from pathlib import Path
from typing import Any

import open_clip
import torch
from safetensors.torch import save_file
from transformers import CLIPTokenizer

from fashion_sweep.tiny.making.tokenizer import CONTEXT, VOCABULARY

EMBEDDING = 64
IMAGE_SIZE = 64
GREY = 0.5
MODEL: dict[str, Any] = {
    "embed_dim": EMBEDDING,
    "vision_cfg": {"image_size": IMAGE_SIZE, "layers": 3, "width": 96, "head_width": 24, "patch_size": 8},
    "text_cfg": {
        "context_length": CONTEXT,
        "vocab_size": VOCABULARY,
        "width": 96,
        "heads": 4,
        "layers": 3,
        "hf_tokenizer_name": "tokenizer",  # any name: open_clip reads it from the model's folder
    },
}
PREPROCESS: dict[str, Any] = {
    "size": [IMAGE_SIZE, IMAGE_SIZE],
    "mean": [GREY] * 3,
    "std": [0.25] * 3,
    "interpolation": "bicubic",
    "resize_mode": "longest",  # the whole image, with grey beside it
    "fill_color": 127,
}


def build() -> open_clip.CLIP:
    """Returns the judge with random weights."""
    return open_clip.CLIP(**json.loads(json.dumps(MODEL)), output_dict=False)


def pad_to_square(images: torch.Tensor) -> torch.Tensor:
    """Pads N,3,64,48 or N,3,48,64 in [-1, 1] to N,3,64,64 as the judge takes them, as `PREPROCESS` does."""
    height, width = images.shape[-2:]
    left, top = (IMAGE_SIZE - width) // 2, (IMAGE_SIZE - height) // 2
    padding = (left, IMAGE_SIZE - width - left, top, IMAGE_SIZE - height - top)
    return torch.nn.functional.pad(images * 2, padding, value=0.0)


def save(model: torch.nn.Module, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Saves the judge as an open_clip folder, in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().half().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    config = {"model_cfg": MODEL, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tokenizer.save_pretrained(folder)
