"""Stable Diffusion 3 in small: folders of configs for `random:`, with two blocks, the first of them with a second
attention, and a T5 of two layers."""

import json
from pathlib import Path
from typing import Any

from fashion_sweep.models.sd3.sources import CONFIGS

TEXT = {"num_hidden_layers": 2, "num_attention_heads": 2}
CHANGED: dict[str, dict[str, Any]] = {
    "transformer": {
        "attention_head_dim": 8,
        "num_attention_heads": 3,
        "num_layers": 2,
        "caption_projection_dim": 24,
        "joint_attention_dim": 48,
        "pooled_projection_dim": 36,
        "in_channels": 4,
        "out_channels": 4,
        "pos_embed_max_size": 16,
        "sample_size": 8,
        "dual_attention_layers": [0],
    },
    "vae": {
        "block_out_channels": [8, 8],
        "down_block_types": ["DownEncoderBlock2D"] * 2,
        "up_block_types": ["UpDecoderBlock2D"] * 2,
        "latent_channels": 4,
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "sample_size": 16,
    },
    "text_encoder": {**TEXT, "hidden_size": 16, "intermediate_size": 32, "projection_dim": 16},
    "text_encoder_2": {**TEXT, "hidden_size": 20, "intermediate_size": 40, "projection_dim": 20},
    "text_encoder_3": {"d_ff": 64, "d_kv": 8, "d_model": 48, "num_heads": 6, "num_layers": 2, "vocab_size": 320},
}


def write_small(folder: Path) -> str:
    """Writes the configs, and returns what `model.base` has to be."""
    packaged = CONFIGS / "stable-diffusion-3.5-medium"
    for path in packaged.rglob("*.json"):
        values = json.loads(path.read_text()) | CHANGED.get(path.parent.name, {})
        copy = folder / path.relative_to(packaged)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(json.dumps(values))
    return f"random:{folder}"
